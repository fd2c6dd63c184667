"""The right to do the fleet's upkeep: one at a time, for a moment, whatever the server's clock does."""

from __future__ import annotations

from tests.hands import Hands, upkeep
from viiwork.store import Store


async def test_one_has_it_at_a_time(store: Store) -> None:
    keeping = upkeep(store)
    assert await keeping.take_lock(owner="one", for_ms=60_000)
    assert not await keeping.take_lock(owner="other", for_ms=60_000)


async def test_a_beat_may_ask_for_it_too(store: Store) -> None:
    """In the same trip; one that does not ask leaves it to others."""
    one, other = upkeep(store), upkeep(store)
    first, second = Hands(store, "gpu0").card, Hands(store, "gpu1").card
    for keeping, card, keep_ms, granted in (
        (one, first, 0, False),
        (other, second, 60_000, True),
        (one, first, 60_000, False),
        (other, second, 0, False),
    ):
        assert await keeping.beat(card, queues=["batch.noop"], in_flight={}, held=[], keep_ms=keep_ms) == {}
        assert keeping.granted is granted


async def test_a_clock_that_was_put_back_does_not_leave_the_fleet_without_upkeep(store: Store) -> None:
    """Redis keeps the moment in which a key ends: put back an hour, a second's right lasts an hour and a second."""
    await store.client.set(f"{store.prefix}upkeep", "somebody", px=3_601_000)
    assert await upkeep(store).take_lock(owner="one", for_ms=1_000)
    assert not await upkeep(store).take_lock(owner="other", for_ms=1_000)
