"""What can be asked of the store: jobs, batches, rows, the fleet."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from redis.asyncio import Redis

from viiwork.errors import Gone, ModelNotServed, NotFound, UsageError
from viiwork.jobs import BatchStatus, Lane, Result, Row, State, Status, batch_of
from viiwork.roster import FleetStatus, QueueDepth, WorkerCard, WorkerStatus
from viiwork.store.blobs import Blobs, BlobStore
from viiwork.store.connection import Connection
from viiwork.store.records import Hash, batch_status_of, result_of, row_of, status_of

PAGE = 200
"""Rows read in one round trip."""
DEAD_AT_ONCE = 1000
"""Dead letters of all that are looked through in one round trip for those of one tenant."""


@dataclass(frozen=True, slots=True)
class Settled:
    """What an item came to, and whether files inside it became items too."""

    state: State
    result: Result
    holds: bool


class Reading(Connection):
    """The store's questions; none of them changes anything."""

    def __init__(self, client: Redis, *, fleet: str, prefix: str, blobs: Blobs, headers: bool = True) -> None:
        super().__init__(client, prefix=prefix, headers=headers)
        self.fleet_name = fleet
        self.blobs = blobs

    @property
    def directory(self) -> BlobStore:
        """The blob directory. Raises UsageError on a host that reaches it through the API alone."""
        if isinstance(self.blobs, BlobStore):
            return self.blobs
        raise UsageError("This host does not have the fleet's blob directory.", hint="Run this on the head.")

    async def close(self) -> None:
        await super().close()
        await self.blobs.close()

    async def job(self, job_id: str) -> Status:
        """A job's record. Raises NotFound, or Gone with the date when its time is over."""
        (record,) = await self.read([("HGETALL", f"{self.prefix}job:{job_id}")])
        record = _as_hash(record)
        if not record:
            await self._raise_missing(job_id)
        if record.get("batch"):
            await self.batch(record["batch"])  # raises Gone when the whole batch is over, swept or not
        status = status_of(job_id, record, await self._result(record))
        await self._raise_if_over(status.expires_ms)
        return status

    async def known(self, job_ids: Sequence[str]) -> set[str]:
        """Those of the ids that have a record, whatever has become of their jobs."""
        there = await self.read(("EXISTS", f"{self.prefix}job:{job_id}") for job_id in job_ids)
        return {job_id for job_id, found in zip(job_ids, there, strict=True) if found}

    async def batch(self, batch_id: str) -> BatchStatus:
        """A batch's record. Raises NotFound, or Gone with the date when its time is over."""
        key = f"{self.prefix}batch:{batch_id}"
        record, suspects = await self.read([("HGETALL", key), ("SCARD", f"{key}:suspected")])
        record = _as_hash(record)
        if not record.get("state"):
            await self._raise_missing(batch_id)
        if record.get("removed"):
            await self._raise_missing(batch_id)
        status = batch_status_of(batch_id, record, suspects=int(suspects))
        await self._raise_if_over(status.expires_ms)
        return status

    async def rows(self, batch_id: str, *, after: int = 0, limit: int | None = None) -> AsyncIterator[Row]:
        """Settled items in the order they settled, from position `after` on, `limit` at most; the order never changes.

        One that is run again leaves its position empty, so go on by `position`, not by the number of rows.
        """
        await self.batch(batch_id)
        while limit is None or limit > 0:
            page = PAGE if limit is None else min(PAGE, limit)
            (items,) = await self.read(
                [("LRANGE", f"{self.prefix}batch:{batch_id}:rows", str(after), str(after + page - 1))]
            )
            settled = await self.rows_of([item for item in items if item])
            for position, item in enumerate(items, start=after):
                row = settled.get(item)
                if row is not None and row.position in (position, None):  # else it has settled anew, further on
                    limit = None if limit is None else limit - 1
                    yield row.model_copy(update={"position": position})
            after += len(items)
            if len(items) < page:
                await self.batch(batch_id)  # a list that was cleared away meanwhile looks like one that has ended
                return

    async def results(self, job_ids: Sequence[str]) -> list[tuple[State, Result]]:
        """State and result of each job, in order. Raises NotFound when one is missing."""
        records = [_as_hash(r) for r in await self.read(("HGETALL", f"{self.prefix}job:{i}") for i in job_ids)]
        if not all(records):
            raise NotFound("A job that this one builds on is missing.")
        return [(State(record["state"]), await self._result(record)) for record in records]

    async def settled(self, item: str) -> Settled | None:
        """What an item came to; None while it has no row, and for one that never gets any, such as an archive."""
        (root,) = await self.read([("HGETALL", f"{self.prefix}job:{item}")])
        known = _as_hash(root)
        if not known.get("item_by"):
            return None
        (end,) = await self.read([("HGETALL", f"{self.prefix}job:{known['item_by']}")])
        return Settled(State(known["item_state"]), await self._result(_as_hash(end)), holds=known.get("holds") == "1")

    async def model_card(self, model: str) -> WorkerCard:
        """What the last worker that served `model` told of it. Raises ModelNotServed when there never was one."""
        (card,) = await self.read([("HGET", f"{self.prefix}models", model)])
        if not card:
            raise ModelNotServed(f"No worker has ever served the model {model}.")
        return WorkerCard.model_validate_json(card)

    async def dead(self, *, before_ms: int | None = None, limit: int = 100, tenant: str | None = None) -> list[Status]:
        """The dead letters, newest first, or those of one tenant; `before_ms` (Redis' clock) goes on where an earlier
        call ended."""
        newest = f"({before_ms}" if before_ms is not None else "+inf"
        of_all, found, seen = ("ZREVRANGEBYSCORE", f"{self.prefix}dead", newest, "-inf", "LIMIT"), list[Status](), 0
        at_once = limit if tenant is None else max(limit, DEAD_AT_ONCE)
        while len(found) < limit:
            (ids,) = await self.read([(*of_all, str(seen), str(at_once))])
            seen += len(ids)
            whose = await self.read(("HGET", f"{self.prefix}job:{job}", "tenant") for job in ids)
            theirs = [job for job, name in zip(ids, whose, strict=True) if name and tenant in (None, name)]
            theirs = theirs[: limit - len(found)]
            records = [_as_hash(r) for r in await self.read(("HGETALL", f"{self.prefix}job:{job}") for job in theirs)]
            there = [(job, record) for job, record in zip(theirs, records, strict=True) if record]
            found += [status_of(job, record, await self._result(record)) for job, record in there]
            if len(ids) < at_once:
                break
        return found

    async def stats(self) -> dict[str, dict[str, int]]:
        """What the fleet has counted since its beginning, by name and queue: `{"started": {"batch.m": 5}}`."""
        (flat,) = await self.read([("HGETALL", f"{self.prefix}stats")])
        counts: dict[str, dict[str, int]] = {}
        for field, value in _as_hash(flat).items():
            name, _, queue = field.partition("|")
            counts.setdefault(name, {})[queue] = int(value)
        return counts

    async def closing(self) -> bool:
        """Whether the fleet was closed on its head."""
        (found,) = await self.read([("GET", f"{self.prefix}closing")])
        return bool(found)

    async def quarantined(self) -> dict[str, str]:
        """Who may take no jobs, and why; by name."""
        (found,) = await self.read([("HGETALL", f"{self.prefix}quarantine")])
        return dict(sorted(_as_hash(found).items()))

    async def fleet(self) -> FleetStatus:
        """Workers by their last beats, queues by their depths."""
        incarnations, depth, closing, dead, put_away, hold = await self.read(
            [
                ("ZRANGE", f"{self.prefix}incs", "0", "-1"),
                ("HGETALL", f"{self.prefix}depth"),
                ("GET", f"{self.prefix}closing"),
                ("ZCARD", f"{self.prefix}dead"),
                ("HGETALL", f"{self.prefix}quarantine"),
                ("HGETALL", f"{self.prefix}hold"),
            ]
        )
        counts = _by_queue(_as_hash(depth))
        now, *found = await self.read(
            [
                ("TIME",),
                *(("SCARD", f"{self.prefix}suspected:{queue}") for queue in counts),
                *(("HGETALL", f"{self.prefix}inc:{inc}") for inc in incarnations),
            ]
        )
        suspects, cards = found[: len(counts)], found[len(counts) :]
        why, held = _as_hash(put_away), _as_hash(hold)
        workers = [_worker(_as_hash(card), _now_ms(now), why, held) for card in cards if card]
        pairs = zip(counts.items(), suspects, strict=True)
        queues = tuple(_depth(queue, states, suspects=int(known)) for (queue, states), known in pairs)
        ordered = tuple(sorted(workers, key=lambda worker: worker.card.name))
        return FleetStatus(fleet=self.fleet_name, workers=ordered, queues=queues, closing=bool(closing), dead=int(dead))

    async def settled_rows(self, batch_id: str) -> int:
        """How many rows there are by now, those counted that are being run again."""
        (count,) = await self.read([("LLEN", f"{self.prefix}batch:{batch_id}:rows")])
        return int(count)

    async def rows_of(self, items: Sequence[str]) -> dict[str, Row]:
        """The rows of settled items; one that is being run again by now has none."""
        if not items:
            return {}
        roots = [_as_hash(r) for r in await self.read(("HGETALL", f"{self.prefix}job:{item}") for item in items)]
        if not all(roots):
            await self._raise_missing(items[0])  # the batch is being cleared away while it is read
        settled = [(item, root) for item, root in zip(items, roots, strict=True) if root.get("item_by")]
        jobs = [root["item_by"] for _, root in settled]
        batch = f"{self.prefix}batch:{batch_of(items[0])}"
        asked, *found = await self.read(
            [("HGET", batch, "task_hash"), *(("HGETALL", f"{self.prefix}job:{job}") for job in jobs)]
        )
        ends = [_as_hash(record) for record in found]
        if not all(ends):
            await self._raise_missing(items[0])
        pairs = zip(settled, ends, strict=True)
        return {item: row_of(item, root, await self._result(end), task_hash=asked or "") for (item, root), end in pairs}

    async def _result(self, record: Hash) -> Result:
        if record.get("result_blob"):
            return result_of(record, await self.blobs.read(record["result_blob"]))
        return result_of(record, record.get("result", ""))

    async def _raise_missing(self, any_id: str) -> None:
        batch_id = batch_of(any_id) or any_id
        told = [("GET", f"{self.prefix}gone:{key}") for key in (any_id, batch_id)]
        deleted_ms, *over = await self.read([("HGET", f"{self.prefix}deleted:{batch_id}", "at_ms"), *told])
        if deleted_ms:
            raise Gone(f"This analysis was deleted at {_moment(int(deleted_ms))}.", code="deleted")
        for when in over:
            if when:
                raise Gone(_over(int(when.partition(" ")[0])))  # behind it stands whose it was
        raise NotFound(
            f"There is no {'analysis' if any_id.startswith('an_') and '-' not in any_id else 'job'} {any_id}."
        )

    async def _raise_if_over(self, expires_ms: int | None) -> None:
        if expires_ms:
            (now,) = await self.read([("TIME",)])
            if expires_ms <= _now_ms(now):
                raise Gone(_over(expires_ms))


def _as_hash(reply: Any) -> dict[str, str]:
    """HGETALL's reply: a dict, or a flat list when sent through `execute_command` in a pipeline."""
    if isinstance(reply, dict):
        return reply
    return dict(zip(reply[::2], reply[1::2], strict=True)) if reply else {}


def _now_ms(time: Sequence[Any]) -> int:
    return int(time[0]) * 1000 + int(time[1]) // 1000


def _over(when_ms: int) -> str:
    return f"These results were kept until {_moment(when_ms)} and are gone."


def _moment(when_ms: int) -> str:
    return datetime.fromtimestamp(when_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M UTC")


def _worker(record: Hash, now_ms: int, put_away: Hash, hold: Hash) -> WorkerStatus:
    card = WorkerCard.model_validate_json(record["card"])
    return WorkerStatus(
        card=card,
        in_flight=json.loads(record.get("in_flight") or "{}"),
        beat_age_ms=max(0, now_ms - int(record["beat_ms"])),
        quarantine=put_away.get(card.name, ""),
        hold=hold.get("why", "") if f"at_most:{card.name}" in hold else "",
    )


def _by_queue(depth: Hash) -> dict[str, dict[str, int]]:
    """Jobs by state, of each queue in the order of their names."""
    counts: dict[str, dict[str, int]] = {}
    for field, value in depth.items():
        queue, _, state = field.partition("|")
        counts.setdefault(queue, {})[state] = int(value)
    return dict(sorted(counts.items()))


def _depth(queue: str, states: dict[str, int], *, suspects: int) -> QueueDepth:
    lane, _, model = queue.partition(".")
    known = {state: states.get(state, 0) for state in ("waiting", "queued", "running")}
    return QueueDepth(model=model, lane=Lane(lane), suspects=suspects, **known)
