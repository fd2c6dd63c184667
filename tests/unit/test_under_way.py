"""What is under way in one life of an engine, and its end."""

from __future__ import annotations

import asyncio

import pytest

from viiwork_workers.engines.server.under_way import Over, UnderWay


async def test_the_end_cuts_off_all_that_is_under_way_and_what_comes_after() -> None:
    """With its reason. The tasks go on: only a part of each was cut off."""
    under_way = UnderWay()

    async def one() -> str:
        with pytest.raises(Over, match="it died"):
            async with under_way.one_more():
                await asyncio.Event().wait()
        await asyncio.sleep(0)
        return "went on"

    running = [asyncio.create_task(one()) for _ in range(3)]
    await asyncio.sleep(0)
    under_way.end("it died")
    under_way.end("it died")
    assert await asyncio.gather(*running) == ["went on"] * 3
    assert await one() == "went on"


async def test_what_was_done_before_the_end_stays_done() -> None:
    """Nothing cancels a task that has left."""
    under_way = UnderWay()
    async with under_way.one_more():
        await asyncio.sleep(0)
    under_way.end("it died")
    await asyncio.sleep(0)


async def test_a_cancelled_task_is_cancelled() -> None:
    """That was somebody else's wish."""
    under_way = UnderWay()

    async def one() -> None:
        async with under_way.one_more():
            await asyncio.Event().wait()

    running = asyncio.create_task(one())
    await asyncio.sleep(0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


async def test_a_timeout_of_its_own_is_no_end() -> None:
    """It comes through as it is."""
    with pytest.raises(TimeoutError):
        async with UnderWay().one_more(), asyncio.timeout(0):
            await asyncio.Event().wait()
