"""Models that people swap for others: asked for by anybody, answered by each host's supervisor."""

from __future__ import annotations

from collections.abc import Iterable

from viiwork.hosts import Swap
from viiwork.store.connection import Connection
from viiwork.store.drains import values
from viiwork.wire import as_json


async def swaps(store: Connection) -> tuple[Swap, ...]:
    """The last of each model and host."""
    (found,) = await store.read([("HGETALL", f"{store.prefix}swaps")])
    told = (Swap.model_validate_json(each) for each in values(found))
    return tuple(sorted(told, key=lambda each: (each.host, each.model)))


async def tell_swaps(store: Connection, some: Iterable[Swap]) -> None:
    """Ask for these, or say how they stand."""
    fields = [text for each in some for text in (f"{each.model}@{each.host}", as_json(each))]
    if fields:
        await store.read([("HSET", f"{store.prefix}swaps", *fields)])
