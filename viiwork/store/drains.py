"""Cards that people have drained, and what each host's supervisor tells of its cards."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from viiwork.hosts import Drained, HostCards
from viiwork.store.connection import Connection
from viiwork.wire import as_json

STALE_MS = 30_000
"""A host of which nothing was heard for so long has no supervisor any more."""


async def drained(store: Connection) -> tuple[Drained, ...]:
    """All of them, by name."""
    (found,) = await store.read([("HGETALL", f"{store.prefix}drained")])
    return tuple(sorted((Drained.model_validate_json(each) for each in values(found)), key=lambda each: each.worker))


async def drain(store: Connection, cards: Iterable[Drained]) -> None:
    """Leave these out until that is taken back; a new reason takes the place of the old."""
    fields = [text for each in cards for text in (each.worker, as_json(each))]
    if fields:
        await store.read([("HSET", f"{store.prefix}drained", *fields)])


async def undrain(store: Connection, names: Iterable[str]) -> list[str]:
    """Take it back; answers those that were drained."""
    wanted = list(names)
    gone = await store.read([("HDEL", f"{store.prefix}drained", name) for name in wanted]) if wanted else []
    return [name for name, was_there in zip(wanted, gone, strict=True) if was_there]


async def note_identity(store: Connection, known: Iterable[Drained]) -> None:
    """Write down who a drained card is, unless the drain was taken back meanwhile."""
    for each in known:
        (there,) = await store.read([("HEXISTS", f"{store.prefix}drained", each.worker)])
        if there:
            await drain(store, [each])


async def tell_host(store: Connection, record: HostCards) -> None:
    """What a host's supervisor knows of its cards just now."""
    fresh = record.model_copy(update={"at_ms": await now_ms(store)})
    await store.read([("HSET", f"{store.prefix}hosts", record.host, as_json(fresh))])


async def forget_host(store: Connection, host: str) -> None:
    """Its supervisor ends."""
    await store.read([("HDEL", f"{store.prefix}hosts", host)])


async def hosts(store: Connection) -> tuple[HostCards, ...]:
    """Those whose supervisor runs, by name."""
    (found,) = await store.read([("HGETALL", f"{store.prefix}hosts")])
    oldest_ms = await now_ms(store) - STALE_MS
    told = (HostCards.model_validate_json(each) for each in values(found))
    return tuple(sorted((each for each in told if each.at_ms >= oldest_ms), key=lambda each: each.host))


async def now_ms(store: Connection) -> int:
    """Redis' clock."""
    ((seconds, micros),) = await store.read([("TIME",)])
    return int(seconds) * 1000 + int(micros) // 1000


def values(found: Mapping[str, str] | list[str]) -> list[str]:
    """Those of a hash, in either form in which a server answers it."""
    return list(found.values()) if isinstance(found, Mapping) else list(found[1::2])
