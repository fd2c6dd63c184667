"""Engines that die under a live worker: nothing is lost, charged or done twice, and only the guilty job is given up."""

from __future__ import annotations

import os
import signal
from functools import partial

import pytest

from tests.workers import Fleet, eventually, make_job, ready
from viiwork.jobs import Job, Lane, State
from viiwork.roster import WorkerCard
from viiwork.settings import Settings
from viiwork.store import Store
from viiwork_workers.engines.simulated.frames import POISON

SLOTS = 8


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Simulated cards as processes, 25 times as fast as a real one; no lease runs out on a busy machine."""
    queue = settings.queue.model_copy(update={"lease_ttl_s": 120.0})
    engine = {"kind": "simulated", "model": "sim", "slots": SLOTS, "time_scale": 0.04, "process": True, "poison": True}
    return settings.model_copy(update={"engine": settings.engine.model_copy(update=engine), "queue": queue})


async def submit(store: Store, count: int, *, lane: Lane = Lane.BATCH) -> list[Job]:
    jobs = [make_job(model="sim", text=f"job {n}", lane=lane) for n in range(count)]
    await store.submit(jobs)
    return jobs


async def settled(store: Store) -> bool:
    return sum(q.waiting + q.queued + q.running for q in (await store.fleet()).queues) == 0


async def card(store: Store, name: str) -> WorkerCard:
    return next(w.card for w in (await store.fleet()).workers if w.card.name.startswith(f"{name}@"))


async def running(store: Store) -> int:
    return sum(queue.running for queue in (await store.fleet()).queues)


async def states(store: Store, jobs: list[Job]) -> dict[State, int]:
    found: dict[State, int] = {}
    for job in jobs:
        state = (await store.job(job.id)).state
        found[state] = found.get(state, 0) + 1
    return found


async def test_a_killed_engine_costs_its_jobs_an_attempt_and_nothing_else(fleet: Fleet, real_store: Store) -> None:
    """The worker lives on under the same lease, has a new engine, and says how often that came to pass."""
    fleet.start("gpu0")
    await ready(real_store, 1)
    before = await card(real_store, "gpu0")
    jobs = await submit(real_store, 200)

    async def busy() -> bool:
        return await running(real_store) >= SLOTS - SLOTS // 4

    await eventually(busy, what="jobs running")
    os.kill(before.engine_pid, signal.SIGSTOP)  # what it has from now on is not done before it dies
    jobs += await submit(real_store, 20)
    await eventually(busy, what="jobs in its hands")
    os.kill(before.engine_pid, signal.SIGKILL)
    await eventually(lambda: settled(real_store), within_s=60, what="all jobs settled")
    assert await states(real_store, jobs) == {State.SUCCEEDED: 220}
    await eventually(partial(came_back, real_store, before.engine_pid), what="a new engine on its card")
    after = await card(real_store, "gpu0")
    assert after.incarnation == before.incarnation
    assert after.engine_restarts == 1
    told = [await real_store.job(job.id) for job in jobs]
    ends = [attempt.end for job in told for attempt in job.history]
    assert ends, "something was in its hands"
    assert set(ends) <= {"crashed", "given_back"}, "given back is what was claimed and had not reached the engine"
    assert len(ends) <= 2 * SLOTS
    assert not any(job.strikes for job in told)


@pytest.mark.parametrize("names", [("gpu0",), ("gpu0", "gpu1")], ids=["one worker", "two workers"])
async def test_one_poisoned_job_is_given_up_and_no_other(
    fleet: Fleet, real_store: Store, names: tuple[str, ...]
) -> None:
    """It kills an engine with others in it, then as the only suspect that an engine holds."""
    fleet.start(*names)
    await ready(real_store, len(names))
    jobs = await submit(real_store, 60)
    poisoned = make_job(model="sim", text=f"quietly {POISON}")
    await real_store.submit([poisoned])
    jobs += await submit(real_store, 60)
    await eventually(lambda: settled(real_store), within_s=90, what="all jobs settled")
    assert await states(real_store, jobs) == {State.SUCCEEDED: 120}
    guilty = await real_store.job(poisoned.id)
    assert guilty.state is State.DEAD
    assert {attempt.end for attempt in guilty.history} == {"crashed"}
    crashes = len(guilty.history)

    async def all_back() -> bool:
        cards = [await card(real_store, name) for name in names]
        return sum(one.engine_restarts for one in cards) == crashes and all(one.engine_pid for one in cards)

    await eventually(all_back, what="as many engines were started again as it killed")
    alone = {attempt.worker for attempt in guilty.history[1:3]}
    assert 2 <= crashes <= (4 if len(alone) < len(names) else 3), "two cards, or three deaths: a card may be to blame"


async def test_a_worker_without_its_engine_takes_nothing_and_another_does_the_work(
    fleet: Fleet, real_store: Store
) -> None:
    """Also an interactive job that comes while the engine is away: it waits for no restart."""
    fleet.start("gpu0")
    await ready(real_store, 1)
    for _ in range(3):  # the pause before the next start grows with each quick death
        pid = (await card(real_store, "gpu0")).engine_pid
        os.kill(pid, signal.SIGKILL)
        await eventually(partial(came_back, real_store, pid), within_s=60, what="a new engine")
    os.kill((await card(real_store, "gpu0")).engine_pid, signal.SIGKILL)

    async def away() -> bool:
        now = await card(real_store, "gpu0")
        return now.limit == 0 and now.engine_state == "restarting (4 deaths)"

    await eventually(away, what="the worker says that its engine is gone")
    fleet.start("gpu1")
    await ready(real_store, 2)
    jobs = await submit(real_store, 20)
    jobs += await submit(real_store, 5, lane=Lane.INTERACTIVE)
    await eventually(lambda: settled(real_store), within_s=60, what="all jobs settled")
    assert await states(real_store, jobs) == {State.SUCCEEDED: 25}
    for job in jobs:
        assert (await real_store.job(job.id)).strikes == 0


async def came_back(store: Store, old: int) -> bool:
    return (await card(store, "gpu0")).engine_pid not in (0, old)


async def test_a_worker_that_is_stopped_while_its_engine_is_away_leaves_at_once(
    fleet: Fleet, real_store: Store
) -> None:
    """What waited for the engine goes back; nobody waits for the grace."""
    fleet.start("gpu0")
    await ready(real_store, 1)
    jobs = await submit(real_store, 200)

    async def busy() -> bool:
        return await running(real_store) > 0

    await eventually(busy, what="jobs running")
    os.kill((await card(real_store, "gpu0")).engine_pid, signal.SIGKILL)
    assert fleet.stop("gpu0") == 0
    assert await running(real_store) == 0
    fleet.start("gpu1")
    await eventually(lambda: settled(real_store), within_s=60, what="the other finishes all")
    assert await states(real_store, jobs) == {State.SUCCEEDED: 200}
