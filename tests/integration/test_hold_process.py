"""Real workers that are held: they finish what they have, take nothing more, and take jobs again by themselves."""

from __future__ import annotations

from collections import Counter

from tests.workers import Fleet, eventually, make_job, ready
from viiwork.jobs import State
from viiwork.settings import EngineSection, Settings
from viiwork.store import Store

OWNER = "bench-00000001"


async def test_a_held_worker_finishes_what_it_has_and_takes_jobs_again_when_nobody_holds_it_any_more(
    fleet: Fleet, settings: Settings, real_store: Store
) -> None:
    """Its owner is as good as killed: it never lifts the hold. No job is lost on the way."""
    engine = EngineSection(kind="noop", slots=4)
    fleet.start("gpu0", "gpu1", settings=settings.model_copy(update={"engine": engine}))
    await ready(real_store, 2)
    names = [worker.card.name for worker in (await real_store.fleet()).workers]

    async def limits() -> list[int | None]:
        return [worker.card.limit for worker in (await real_store.fleet()).workers]

    async def held() -> bool:
        return await limits() == [0, 2]

    async def free() -> bool:
        return await limits() == [4, 4]

    async def run(count: int) -> Counter[str]:
        jobs = [make_job() for _ in range(count)]
        await real_store.submit(jobs)

        async def done() -> bool:
            return all([(await real_store.job(job.id)).state is State.SUCCEEDED for job in jobs])

        await eventually(done)
        return Counter([(await real_store.job(job.id)).worker for job in jobs])

    await real_store.hold(OWNER, {names[0]: 0, names[1]: 2}, why="A test.", for_s=120)
    await eventually(held)
    assert set(await run(30)) == {names[1]}
    await real_store.hold(OWNER, {names[0]: 0, names[1]: 2}, why="A test.", for_s=1.0)
    await eventually(free)
    assert sum((await run(60)).values()) == 60
