"""Models that people swap for others: asked for by anybody, answered by each host's supervisor."""

from __future__ import annotations

from collections.abc import Iterable

from viiwork.hosts import Swap
from viiwork.store.connection import Connection
from viiwork.store.drains import now_ms, values
from viiwork.wire import as_json

EXPIRES_MS = 600_000
"""What no host has begun by then is not done any more: whoever asked does not reckon with it hours later."""
EXPIRED = "no host took it up within 10 minutes, and none will any more. Ask again for it."


async def swaps(store: Connection) -> tuple[Swap, ...]:
    """The last of each model and host, as it stands by now, in the order of asking; dry runs apart."""
    (found,) = await store.read([("HGETALL", f"{store.prefix}swaps")])
    clock_ms = await now_ms(store)
    told = (as_of(Swap.model_validate_json(each), clock_ms) for each in values(found))
    return tuple(sorted(told, key=lambda each: (each.host, each.asked_ms, each.model)))


async def ask_swaps(store: Connection, some: Iterable[Swap]) -> list[Swap]:
    """Ask for these, from now on."""
    clock_ms = await now_ms(store)
    asked = [each.model_copy(update={"asked_ms": clock_ms}) for each in some]
    await tell_swaps(store, asked)
    return asked


async def tell_swaps(store: Connection, some: Iterable[Swap]) -> None:
    """How these stand."""
    fields = [text for each in some for text in (_field(each), as_json(each))]
    if fields:
        await store.read([("HSET", f"{store.prefix}swaps", *fields)])


def as_of(swap: Swap, clock_ms: int) -> Swap:
    """How it stands at that moment of Redis' clock. Pure."""
    if swap.state != "asked" or clock_ms - swap.asked_ms < EXPIRES_MS:
        return swap
    return swap.model_copy(update={"state": "expired", "why": EXPIRED})


def _field(swap: Swap) -> str:
    return f"{'?' if swap.dry_run else ''}{swap.model}@{swap.host}"
