"""Callbacks in Redis: taken by a sender, ended by what came of them, listed, sent once more."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from viiwork.deliveries import Delivery, DeliveryState
from viiwork.store.connection import Connection

Record = Mapping[str, str]
KEPT_MS: Mapping[DeliveryState, int] = {
    DeliveryState.DELIVERED: 3 * 86_400_000,
    DeliveryState.DEAD: 30 * 86_400_000,
}
"""How long a callback can be looked at, and sent once more, after its end; of each the last 10,000."""


@dataclass(frozen=True, slots=True)
class Taken:
    """A callback whose lane is this sender's for a while."""

    id: str
    token: str
    record: Record
    now_ms: int
    """Redis' clock when it was taken."""

    @property
    def tries(self) -> int:
        """With this one."""
        return int(self.record.get("tries") or 1)

    @property
    def age_s(self) -> float:
        """Since its event, or since it was sent once more."""
        return max(0, self.now_ms - int(self.record.get("since_ms") or self.now_ms)) / 1000


async def take(store: Connection, *, token: str, most: int, lease_s: float) -> list[Taken]:
    """What is due, one of each lane that has nothing under way. The lane is ours for `lease_s`, then anybody's."""
    moment_ms, *ids = await store.call("callback", "take", token, most, int(lease_s * 1000))
    records = await store.read([("HGETALL", f"{store.prefix}callback:{each}") for each in ids]) if ids else []
    return [Taken(one, token, as_hash(record), int(moment_ms)) for one, record in zip(ids, records, strict=True)]


async def delivered(store: Connection, taken: Taken, *, status: int) -> None:
    """The receiver has it."""
    await _end(store, taken, DeliveryState.DELIVERED, status=status)


async def try_later(store: Connection, taken: Taken, *, pause_s: float, status: int, fault: str) -> None:
    """It goes again after a pause."""
    call = ("end", taken.id, taken.token, "later", max(1, int(pause_s * 1000)), status, fault, 0)
    await store.call("callback", *call)


async def give_up(store: Connection, taken: Taken, *, status: int, fault: str) -> None:
    """It is dead until somebody sends it once more."""
    await _end(store, taken, DeliveryState.DEAD, status=status, fault=fault)


async def replay(store: Connection, callback_id: str) -> bool:
    """Send it once more under its `webhook-id`; false where there is none."""
    return bool(await store.call("callback", "replay", callback_id))


async def listed(
    store: Connection, state: DeliveryState, *, before: str | None = None, limit: int = 100
) -> list[tuple[str, Record]]:
    """Callbacks of one state, the newest first, from the one after `before` on; with their records."""
    shelf = f"{store.prefix}callbacks.{state.value}"
    start = 0
    if before is not None:
        (rank,) = await store.read([("ZREVRANK", shelf, before)])
        if rank is None:  # it is of another state by now: to begin anew would never end
            return []
        start = int(rank) + 1
    (ids,) = await store.read([("ZREVRANGE", shelf, str(start), str(start + limit - 1))])
    records = await store.read([("HGETALL", f"{store.prefix}callback:{each}") for each in ids]) if ids else []
    pairs = ((one, as_hash(record)) for one, record in zip(ids, records, strict=True))
    return [(one, record) for one, record in pairs if record]


async def counts(store: Connection) -> dict[DeliveryState, int]:
    """How many there are of each state."""
    found = await store.read([("ZCARD", f"{store.prefix}callbacks.{state.value}") for state in DeliveryState])
    return {state: int(number) for state, number in zip(DeliveryState, found, strict=True)}


async def tell_once(
    store: Connection, *, known_as: tuple[str, str, str], kind: str, subject: str, about: Sequence[str] = ()
) -> bool:
    """Write a fact of the fleet down (hash, field, value) and tell the endpoints; false where it was known before."""
    return bool(await store.call("tell", *known_as, kind, subject, *about))


async def now_ms(store: Connection) -> int:
    """Redis' clock."""
    ((seconds, micros),) = await store.read([("TIME",)])
    return int(seconds) * 1000 + int(micros) // 1000


def delivery_of(callback_id: str, record: Record, *, url: str) -> Delivery:
    """A callback as clients see it, with as much of its URL as they may."""
    pending = record["state"] == DeliveryState.PENDING
    return Delivery(
        id=callback_id,
        type=record["type"],
        subject=record["subject"],
        tenant=record.get("tenant", ""),
        url=url,
        endpoint=record.get("endpoint", ""),
        state=DeliveryState(record["state"]),
        tries=int(record.get("tries") or 0),
        created_ms=int(record["created_ms"]),
        due_ms=_number(record, "due_ms") if pending else None,
        tried_ms=_number(record, "tried_ms"),
        status=_number(record, "status"),
        fault=record.get("fault", ""),
    )


def as_hash(reply: Any) -> Record:
    """HGETALL's reply: a dict, or a flat list when sent through `execute_command` in a pipeline."""
    if isinstance(reply, dict):
        return reply
    return dict(zip(reply[::2], reply[1::2], strict=True)) if reply else {}


async def _end(store: Connection, taken: Taken, state: DeliveryState, *, status: int, fault: str = "") -> None:
    call = ("end", taken.id, taken.token, state.value, 0, status, fault, KEPT_MS[state])
    await store.call("callback", *call)


def _number(record: Record, name: str) -> int | None:
    return int(record[name]) if record.get(name, "0") != "0" else None
