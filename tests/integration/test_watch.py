"""Wake-up calls through a real server: who is woken, how often, and what a lost connection costs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from tests.workers import eventually
from viiwork.errors import Busy
from viiwork.jobs import new_id
from viiwork.store import Store
from viiwork.store.watch import Watch


@pytest.fixture
async def watch(store: Store) -> AsyncIterator[Watch]:
    """A watch on the double and on the real thing."""
    made = Watch(store.client, prefix=store.prefix, max_listeners=3)
    yield made
    await made.close()


@pytest.fixture
async def real_watch(real_store: Store) -> AsyncIterator[Watch]:
    made = Watch(real_store.client, prefix=real_store.prefix)
    yield made
    await made.close()


async def say(store: Store, any_id: str) -> int:
    """Publish a change; answers how many connections heard it."""
    heard: int = await store.client.publish(f"{store.prefix}ev:{any_id}", "running")
    return heard


async def subscribers(store: Store) -> set[str]:
    """The connections on which somebody listens, by id; other programs may use the server too."""
    return {str(client["id"]) for client in await store.client.client_list(_type="pubsub")}


@pytest.fixture(autouse=True)
def no_regular_look(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who is woken here was told: the wake-up that comes anyway is far away."""
    monkeypatch.setattr("viiwork.store.watch.LOOK_AGAIN_S", 3600.0)


async def next_change(changes: AsyncIterator[None], *, within_s: float = 60.0) -> None:
    """The next wake-up."""
    async with asyncio.timeout(within_s):
        await anext(changes)


async def test_who_listens_is_woken_once_heard_and_at_each_change(store: Store, watch: Watch) -> None:
    """The first call says that nothing can be missed from now on."""
    job = new_id("job")
    async with watch.listen(job) as changes:
        await next_change(changes)
        assert await say(store, job) == 1
        await next_change(changes)


async def test_nobody_is_woken_by_the_change_of_another(real_store: Store, real_watch: Watch) -> None:
    """Every id has a channel of its own."""
    one, other = new_id("job"), new_id("job")
    async with real_watch.listen(one) as changes, real_watch.listen(other) as others:
        await next_change(changes)
        await next_change(others)
        await say(real_store, other)
        await next_change(others)
        with pytest.raises(TimeoutError):
            await next_change(changes, within_s=0.3)


async def test_all_listeners_of_an_id_share_one_connection_and_one_subscription(
    real_store: Store, real_watch: Watch
) -> None:
    """However many listen, the server tells this process once; the last one to leave ends it."""
    job = new_id("job")
    before = await subscribers(real_store)
    async with real_watch.listen(job) as first, real_watch.listen(job) as second, real_watch.listen("an_1") as third:
        for changes in (first, second, third):
            await next_change(changes)
        assert len(await subscribers(real_store) - before) == 1
        assert await say(real_store, job) == 1
        await next_change(first)
        await next_change(second)
    assert real_watch.listeners == 0

    async def silent() -> bool:
        return await say(real_store, job) == 0

    await eventually(silent, what="the subscription is given up")


async def test_who_joins_later_is_woken_at_once(real_watch: Watch) -> None:
    """The channel is heard already, so no confirmation comes for the second listener."""
    job = new_id("job")
    async with real_watch.listen(job) as first:
        await next_change(first)
        async with real_watch.listen(job) as second:
            await next_change(second)


async def test_a_lost_connection_wakes_everybody_once_it_is_back(real_store: Store, real_watch: Watch) -> None:
    """What was said in between was missed."""
    before = await subscribers(real_store)
    job, analysis = new_id("job"), new_id("an")
    async with real_watch.listen(job) as changes, real_watch.listen(analysis) as others:
        await next_change(changes)
        await next_change(others)
        for connection in await subscribers(real_store) - before:
            await real_store.client.client_kill_filter(_id=connection)
        await next_change(changes)
        await next_change(others)
        await say(real_store, job)
        await next_change(changes)


async def test_a_thousand_changes_are_a_few_wake_ups(real_store: Store, real_watch: Watch) -> None:
    """A busy analysis must not make its reader ask a thousand times a second."""
    analysis, woken = new_id("an"), 0
    async with real_watch.listen(analysis) as changes:
        await next_change(changes)
        pipeline = real_store.client.pipeline(transaction=False)
        for _ in range(1000):
            pipeline.publish(f"{real_store.prefix}ev:{analysis}", "succeeded")
        await pipeline.execute()
        with pytest.raises(TimeoutError):
            while True:
                await next_change(changes, within_s=0.5)
                woken += 1
    assert 1 <= woken <= 5


async def test_listening_and_leaving_over_and_over_leaves_nothing_behind(real_store: Store, real_watch: Watch) -> None:
    """Each comes and goes while others listen; nobody is deaf afterwards, and no channel is left."""
    steady = new_id("an")

    async def pass_by() -> None:
        for _ in range(10):
            job = new_id("job")
            async with real_watch.listen(job, pause_s=0) as changes:
                await next_change(changes)
                await say(real_store, job)
                await next_change(changes)

    async with real_watch.listen(steady) as changes:
        await next_change(changes)
        await asyncio.gather(*(pass_by() for _ in range(10)))
        await say(real_store, steady)
        await next_change(changes)

        async def nothing_else() -> bool:
            channels = await real_store.client.pubsub_channels(f"{real_store.prefix}ev:*")
            kept = {real_watch._own, f"{real_store.prefix}ev:{steady}"}
            return channels == [f"{real_store.prefix}ev:{steady}"] and real_watch._heard == kept

        await eventually(nothing_else, what="no other channel is left")


async def test_there_is_a_limit_to_listeners(watch: Watch) -> None:
    """One more is told to come back; one that leaves makes room."""
    async with watch.listen("job_1"), watch.listen("job_2"):
        async with watch.listen("job_2"):
            with pytest.raises(Busy):
                async with watch.listen("job_3"):
                    raise AssertionError("there was room")
        async with watch.listen("job_3"):
            assert watch.listeners == 3


async def test_closing_sends_everybody_home(watch: Watch) -> None:
    """Their loops end, also one begun after that."""
    async with watch.listen("job_1") as changes:
        await next_change(changes)
        await watch.close()
        assert [_ async for _ in changes] == []
    async with watch.listen("job_2") as changes:
        assert [_ async for _ in changes] == []
