"""What metrics alone ask of the store: how long jobs have waited, and which workers are put away."""

from __future__ import annotations

from collections.abc import Sequence

from viiwork.store.connection import Connection
from viiwork.store.scripts import Call

GROUPS = 500
"""Tenants' batches looked at a queue, those unserved for the longest first."""
RECORDS = 1000
"""Jobs looked at a queue; 500 groups with nothing cancelled in them take as many."""


async def oldest_s(store: Connection, queues: Sequence[str]) -> dict[str, float]:
    """For how long the oldest job of each queue has waited; 0 where none waits.

    The heads of a queue's groups are looked at, not its jobs, so a million of them cost what one does.
    """
    replies = await store.call_many([Call("oldest", (queue, GROUPS, RECORDS)) for queue in queues])
    for reply in replies:
        if isinstance(reply, Exception):
            raise reply
    return {queue: max(0, int(age_ms)) / 1000 for queue, age_ms in zip(queues, replies, strict=True)}


async def quarantined(store: Connection) -> frozenset[str]:
    """The names of the workers that take no jobs because too many died under them."""
    (names,) = await store.read([("HKEYS", f"{store.prefix}quarantine")])
    return frozenset(names)
