"""What many ask for in one moment is looked at once."""

from __future__ import annotations

import asyncio

import pytest

from viiwork.api.lately import Lately
from viiwork.errors import StoreUnavailable


class Sight:
    """Something to look at: counts the looks, and lets each take until it is told."""

    def __init__(self) -> None:
        self.looks = 0
        self.error: Exception | None = None
        self.open = asyncio.Event()

    async def look(self) -> int:
        self.looks += 1
        seen = self.looks
        await self.open.wait()
        if self.error:
            raise self.error
        return seen


async def test_all_who_ask_in_a_moment_share_a_look() -> None:
    """One that leaves does not take it away from the others; what was seen will do for a while."""
    sight = Sight()
    lately = Lately(sight.look, age_s=60)
    asking = [asyncio.create_task(lately.get()) for _ in range(5)]
    await asyncio.sleep(0)
    asking.pop().cancel()
    sight.open.set()
    assert await asyncio.gather(*asking) == [1] * 4
    assert await lately.get() == 1


async def test_a_fresh_look_is_one_of_its_own_and_what_is_old_is_looked_at_again() -> None:
    sight = Sight()
    sight.open.set()
    kept, old = Lately(sight.look, age_s=60), Lately(sight.look, age_s=0)
    assert [await kept.get(), await kept.get(fresh=True), await kept.get()] == [1, 2, 2]
    assert [await old.get(), await old.get()] == [3, 4]


async def test_a_look_that_fails_is_told_to_all_and_the_next_one_looks_again() -> None:
    sight = Sight()
    lately = Lately(sight.look, age_s=60)
    sight.error = StoreUnavailable("Redis does not answer.")
    asking = [asyncio.create_task(lately.get()) for _ in range(2)]
    sight.open.set()
    assert {type(found) for found in await asyncio.gather(*asking, return_exceptions=True)} == {StoreUnavailable}
    sight.error = None
    assert await lately.get() == 2
    with pytest.raises(StoreUnavailable):
        sight.error = StoreUnavailable("Redis does not answer.")
        await lately.get(fresh=True)
