"""Cancelling acts at once in every state: a worker hears of it between two beats, and its slots serve others."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from tests.hands import Hands, sealed_batch, state
from tests.workers import Fleet, clients, drop_connections, eventually, make_job, ready
from viiwork.jobs import State, child_id
from viiwork.settings import Settings
from viiwork.store import Store
from viiwork_workers.drops import channel_of, hear_drops

BATCH_SLOTS = 3
"""Of four slots, one is kept for interactive jobs."""


def all_in(store: Store, jobs: list[str], wanted: State) -> Callable[[], Awaitable[bool]]:
    """A check for `eventually`: whether every one of these jobs is in this state."""

    async def check() -> bool:
        return {await state(store, job) for job in jobs} == {wanted}

    return check


class TestHearing:
    @pytest.fixture
    async def heard(self, store: Store) -> AsyncIterator[tuple[Hands, list[tuple[str, str]]]]:
        """A worker's hands, and what is heard on their channel."""
        hands, told = Hands(store, slots=16), list[tuple[str, str]]()
        stop = asyncio.Event()

        def note(job: str, how: str) -> None:
            told.append((job, how))

        listening = asyncio.create_task(
            hear_drops(store, hands.card.incarnation, note, stop=stop, pause_s=0.01), name="drops"
        )
        await eventually(lambda: self.subscribed(store, hands), what="a listener")
        yield hands, told
        stop.set()
        await listening

    async def subscribed(self, store: Store, hands: Hands) -> bool:
        channel = channel_of(store, hands.card.incarnation)
        return dict(await store.client.pubsub_numsub(channel))[channel] == 1

    async def test_what_is_taken_from_a_worker_is_told_to_it_alone(
        self, store: Store, heard: tuple[Hands, list[tuple[str, str]]]
    ) -> None:
        """A job that waits, one that another worker runs, and one that has ended are none of its business."""
        hands, told = heard
        mine, others, done, waiting = jobs = [make_job() for _ in range(4)]
        await hands.beat()
        await store.submit(jobs)
        assert (await hands.take()).fence.job == mine.id
        assert (await Hands(store, "gpu1").take()).fence.job == others.id
        assert await hands.do() == done.id
        for job in (waiting, done, others, mine):
            await store.cancel(job.id)
        await eventually(lambda: self.told_something(told))
        assert told == [(mine.id, "cancelled")]

    async def test_a_cancelled_batch_takes_all_that_runs_of_it(
        self, store: Store, heard: tuple[Hands, list[tuple[str, str]]]
    ) -> None:
        """However many wait behind them."""
        hands, told = heard
        await hands.beat()
        batch = await sealed_batch(store, 120)
        taken = [(await hands.take()).fence.job for _ in range(2)]
        await store.cancel_batch(batch)
        await eventually(lambda: self.told_something(told, 2))
        assert sorted(told) == [(job, "cancelled") for job in sorted(taken)]

    async def test_it_listens_again_after_its_connection_was_dropped(self, real_store: Store) -> None:
        """Whether redis-py or the listener itself makes the new one."""
        hands, told, before = Hands(real_store), list[tuple[str, str]](), await clients(real_store)
        stop = asyncio.Event()

        def note(job: str, how: str) -> None:
            told.append((job, how))

        listening = asyncio.create_task(
            hear_drops(real_store, hands.card.incarnation, note, stop=stop, pause_s=0.01), name="drops"
        )
        await eventually(lambda: self.subscribed(real_store, hands))
        await drop_connections(real_store, sparing=before)
        await eventually(lambda: self.subscribed(real_store, hands))
        await real_store.client.publish(channel_of(real_store, hands.card.incarnation), "job_1 expired")
        await eventually(lambda: self.told_something(told))
        stop.set()
        await listening
        assert told == [("job_1", "expired")]

    async def told_something(self, told: list[tuple[str, str]], count: int = 1) -> bool:
        return len(told) >= count


class TestARealWorker:
    @pytest.fixture
    def settings(self, settings: Settings) -> Settings:
        """Beats so far apart that none comes during a test: what happens, happens without them."""
        queue = settings.queue.model_copy(update={"beat_s": 120.0, "lease_ttl_s": 600.0, "drain_grace_s": 0.1})
        engine = settings.engine.model_copy(update={"slots": 4})
        return settings.model_copy(update={"queue": queue, "engine": engine})

    @pytest.fixture
    async def worker(self, real_store: Store, fleet: Fleet) -> None:
        """One whose jobs end only by being stopped."""
        fleet.start("gpu0", module="tests.endless")
        await ready(real_store, 1)
        await eventually(lambda: self.listens(real_store), what="the worker listens")

    async def listens(self, store: Store) -> bool:
        return bool(await store.client.pubsub_channels(channel_of(store, "*")))

    @pytest.mark.usefixtures("worker")
    async def test_cancelled_jobs_leave_their_slots_to_others_between_two_beats(self, real_store: Store) -> None:
        """One by one, then a whole batch with many waiting: another's jobs take the slots."""
        first = [make_job() for _ in range(BATCH_SLOTS)]
        await real_store.submit(first)
        await eventually(all_in(real_store, [job.id for job in first], State.RUNNING), what="the first ones run")

        batch = await sealed_batch(real_store, 300)
        for job in first:
            assert await real_store.cancel(job.id) is State.CANCELLED
        running = [child_id(batch, str(n)) for n in range(BATCH_SLOTS)]
        await eventually(all_in(real_store, running, State.RUNNING), what="the batch has the slots")

        others = [make_job(tenant="ben@lab") for _ in range(BATCH_SLOTS)]
        await real_store.submit(others)
        assert (await real_store.cancel_batch(batch)).counts.cancelled >= BATCH_SLOTS
        await eventually(all_in(real_store, [job.id for job in others], State.RUNNING), what="another has the slots")

    @pytest.mark.usefixtures("worker")
    async def test_a_deadline_that_passes_frees_the_slot(self, real_store: Store) -> None:
        """The worker itself counts the time that is left to them."""
        doomed = [make_job(deadline_s=0.5) for _ in range(BATCH_SLOTS)]
        others = [make_job() for _ in range(BATCH_SLOTS)]
        await real_store.submit([*doomed, *others])
        await eventually(all_in(real_store, [job.id for job in doomed], State.EXPIRED), what="they expire")
        await eventually(all_in(real_store, [job.id for job in others], State.RUNNING), what="others have the slots")
