"""Batches that came as a file, in Redis: made whole, listed by tenant, and taken through their stages.

The record is that of any batch, with more in it; `batch_…` and `an_…` are two names of one.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass

from viiwork.batches.batchobject import Facts, file_batch
from viiwork.errors import NotFound
from viiwork.jobs import Job, Lane, Priority, Row
from viiwork.store.callbacks import Record, as_hash
from viiwork.store.facade import Store
from viiwork.store.intake import Fence
from viiwork.store.owners import owner_of
from viiwork.store.reading import Reading
from viiwork.store.records import UNREADABLE, batch_status_of, row_of
from viiwork.store.scripts import Call
from viiwork.store.steering import READ_AHEAD

TASK = "batch"
"""What such a batch says that it does."""
PAGE = 200
"""Lines read in one round trip."""


@dataclass(frozen=True, slots=True)
class Opening:
    """A batch as it was asked for."""

    id: str
    tenant: str
    endpoint: str
    input_file: str
    window: str
    deadline_s: float
    priority: Priority = Priority.NORMAL
    metadata: Mapping[str, str] | None = None
    callback_url: str | None = None
    outputs_s: float | None = None
    """For how long what it writes is kept; None as long as results are."""
    payer: str = ""
    """The id of the key that it came with; its files count for that, too."""


@dataclass(frozen=True, slots=True)
class Written:
    """A file that a batch has written: its blob is on disk."""

    file: str
    blob: str
    bytes: int
    filename: str
    sha256: str


async def begin(store: Store, opening: Opening, *, lines: Job, close: Job) -> None:
    """Make a batch together with the jobs that fill and close it, in one trip. Idempotent by their ids."""
    fields = _fields(opening, closer=close.id) | {"ttl_ms": store.results_ms}
    said = (part for name, value in fields.items() if value != "" for part in (name, value))
    made = Call("open", (opening.id, int(opening.deadline_s * 1000), *said))
    entries, _ = await store.flat([close, lines])
    taken = Call("submit", ("", 0, "", 0, *(field for entry in entries for field in entry)))
    release = Call("release", (store.envelope, READ_AHEAD, lines.queue))
    for answer in await store.call_many([made, Call("stage", ("listed", opening.id)), taken, release]):
        if isinstance(answer, Exception):
            raise answer


def _fields(opening: Opening, *, closer: str) -> dict[str, str | int | float]:
    """The fields of a batch's record, and those that only such batches have; empty ones are left out."""
    weighed = opening.priority is not Priority.NORMAL
    return {
        "tenant": opening.tenant,
        "lane": Lane.BATCH.value,
        "task": TASK,
        "total": 0,
        "priority": opening.priority.value if weighed else "",
        "weight": opening.priority.weight if weighed else "",
        "callback_url": opening.callback_url or "",
        "metadata": json.dumps(dict(opening.metadata), separators=(",", ":")) if opening.metadata else "",
        "closer": closer,
        "endpoint": opening.endpoint,
        "input_file": opening.input_file,
        "window": opening.window,
        "payer": opening.payer,
        "outputs_ms": "" if opening.outputs_s is None else int(opening.outputs_s * 1000),
    }


async def look(store: Reading, tenant: str, batch: str) -> Facts:
    """A tenant's batch. Raises NotFound, or Gone for one that was deleted or has outlived its time."""
    found = await known(store, batch)
    if found is None and await owner_of(store, batch) == tenant:
        await store.batch(batch)  # raises Gone
    if found is None or found.status.tenant != tenant:
        raise NotFound("There is no such batch of yours; its id starts with `batch_`.", param="batch_id")
    return found


async def known(store: Reading, batch: str) -> Facts | None:
    """What there is of a batch, whosever it is; None where it is none that came as a file, or is gone."""
    (found,) = await _facts(store, [batch])
    return found


async def listed(store: Reading, tenant: str, *, after: str, limit: int) -> tuple[list[Facts], bool]:
    """A tenant's batches, the newest first, behind `after` if that says anything; and whether more follow."""
    edge = f"({after}" if after else "+"
    command = ("ZREVRANGEBYLEX", f"{store.prefix}filebatches:{tenant}", edge, "-", "LIMIT", "0", str(limit + 1))
    (ids,) = await store.read([command])
    found = [one for one in await _facts(store, ids[:limit]) if one is not None] if ids else []
    return found, len(ids) > limit


async def checked(store: Store, batch: str, *, model: str, lines: int) -> None:
    """Its lines are valid, and become jobs from now on."""
    await store.call("stage", "checked", batch, model, lines)


async def hold(store: Store, batch: str, why: str) -> None:
    """No more of its lines become jobs just now, for this reason; without one they do again."""
    await store.call("stage", "held", batch, why)


async def refuse(store: Store, batch: str, errors: str) -> None:
    """Its lines are not valid: it ends with these errors. May be repeated."""
    await store.call("stage", "refused", batch, errors)
    await store.call("batch", "cancel", batch)


async def conclude(store: Store, batch: str, fence: Fence, *, outcome: str, files: Sequence[Written | None]) -> bool:
    """Write down what came of it and where that lies (output, errors), and tell whoever wants to know; once only.

    False where the fence is down, or another attempt was first: the files are nobody's then.
    """
    found = await known(store, batch)
    keep_ms = found.outputs_ms if found and found.outputs_ms is not None else store.results_ms
    said: list[str | int] = []
    for one in files:
        said += [one.file, one.blob, one.bytes, one.filename, one.sha256, keep_ms] if one else ["", "", 0, "", "", 0]
    told = await store.call("stage", "concluded", batch, fence.job, fence.attempt, fence.token, outcome, *said)
    return bool(told == 1)


async def _facts(store: Reading, batches: Sequence[str]) -> list[Facts | None]:
    raw = await store.read(("HGETALL", f"{store.prefix}batch:{one}") for one in batches)
    return [_of(one, as_hash(record)) for one, record in zip(batches, raw, strict=True)]


def _of(batch: str, record: Record) -> Facts | None:
    if not record.get("state") or not record.get("closer") or record.get("removed"):
        return None
    return file_batch(batch_status_of(batch, record), record)


async def rows(store: Reading, batch: str, *, after: int = 0, upto: int | None = None) -> AsyncIterator[Row]:
    """Its lines that have ended, from position `after` on, in the order of their ends; `upto` is not among them.

    Large answers are read one by one: a page of them would fill the memory. One that cannot be read is told as such.
    """
    key = f"{store.prefix}batch:{batch}:rows"
    while upto is None or after < upto:
        last = after + PAGE if upto is None else min(after + PAGE, upto)
        (items,) = await store.read([("LRANGE", key, str(after), str(last - 1))])
        ended = [item for item in items if item]
        blobs = (
            await store.read(("HGET", f"{store.prefix}job:{item}", "result_blob") for item in ended) if ended else []
        )
        small = [item for item, blob in zip(ended, blobs, strict=True) if not blob]
        for row in (await store.rows_of(small)).values():
            yield row
        for item, blob in zip(ended, blobs, strict=True):
            if blob:
                yield await _large(store, item)
        after += len(items)
        if len(items) < PAGE:
            return


async def _large(store: Reading, item: str) -> Row:
    try:
        return (await store.rows_of([item]))[item]
    except NotFound:
        (raw,) = await store.read([("HGETALL", f"{store.prefix}job:{item}")])
        return row_of(item, as_hash(raw), UNREADABLE)
