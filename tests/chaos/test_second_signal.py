"""A worker that is told to stop twice: what runs goes back at once, uncharged, and it ends with code 0."""

from __future__ import annotations

import asyncio
import signal
import subprocess

import pytest

from tests.workers import Fleet, eventually, make_job, ready
from viiwork.jobs import Job, State
from viiwork.settings import Settings
from viiwork.store import Store

SLOTS = 16
TERM, INT, QUIT = signal.SIGTERM, signal.SIGINT, signal.SIGQUIT


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """More grace than any test has patience for; and no lease runs out on a busy machine."""
    patient = settings.queue.model_copy(update={"drain_grace_s": 120.0, "lease_ttl_s": 120.0})
    return settings.model_copy(update={"queue": patient})


def with_slow_card(settings: Settings) -> Settings:
    """A card that takes half a second for each long prompt, one after the other."""
    engine = {"kind": "simulated", "model": "sim", "slots": SLOTS, "time_scale": 0.05}
    return settings.model_copy(update={"engine": settings.engine.model_copy(update=engine)})


async def running(store: Store) -> int:
    return sum(queue.running for queue in (await store.fleet()).queues)


async def settled(store: Store) -> bool:
    return sum(q.waiting + q.queued + q.running for q in (await store.fleet()).queues) == 0


async def uncharged(store: Store, jobs: list[Job]) -> bool:
    """No job carries a strike, a suspicion or a crash for what happened to its worker."""
    told = [await store.job(job.id) for job in jobs]
    ends = {attempt.end for job in told for attempt in job.history}
    return not any(job.strikes or job.suspect for job in told) and ends <= {"given_back"}


async def exit_code(process: subprocess.Popen[bytes]) -> int:
    return await asyncio.to_thread(process.wait, 60)


@pytest.mark.parametrize(
    "numbers", [(TERM, TERM), (TERM, INT), (INT, INT), (QUIT,)], ids=lambda numbers: "+".join(n.name for n in numbers)
)
async def test_a_second_signal_gives_everything_back_at_once(
    fleet: Fleet, real_store: Store, settings: Settings, numbers: tuple[signal.Signals, ...]
) -> None:
    """SIGINT as well as SIGTERM; SIGQUIT needs no second."""
    fleet.start("gpu0", settings=with_slow_card(settings))
    await ready(real_store, 1)
    jobs = [make_job(model="sim", text="word " * 7_000) for _ in range(40)]
    await real_store.submit(jobs)

    async def full() -> bool:
        return await running(real_store) >= SLOTS // 2

    await eventually(full, what="jobs running")
    process = fleet.processes.pop("gpu0")
    process.send_signal(numbers[0])
    while numbers[1:] and process.poll() is None:  # of two that come at once the system may make one
        await asyncio.sleep(0.2)
        process.send_signal(numbers[1])
    assert await exit_code(process) == 0
    assert "giving" in fleet.log("gpu0")
    assert await running(real_store) == 0
    states = [(await real_store.job(job.id)).state for job in jobs]
    assert states.count(State.SUCCEEDED) < len(jobs), "it did not wait for what ran"
    assert await uncharged(real_store, jobs)


async def test_one_signal_lets_it_finish_what_runs(fleet: Fleet, real_store: Store, settings: Settings) -> None:
    """The rest of the backlog stays where it is."""
    fleet.start("gpu0", settings=with_slow_card(settings))
    await ready(real_store, 1)
    jobs = [make_job(model="sim", text="word " * 2_000) for _ in range(80)]
    await real_store.submit(jobs)

    async def in_full_work() -> bool:
        return any([(await real_store.job(job.id)).state is State.SUCCEEDED for job in jobs[:SLOTS]])

    await eventually(in_full_work, what="a first job done, so that the others are in the engine")
    process = fleet.processes.pop("gpu0")
    process.send_signal(TERM)
    assert await exit_code(process) == 0
    told = [await real_store.job(job.id) for job in jobs]
    assert {job.state for job in told} <= {State.SUCCEEDED, State.WAITING, State.QUEUED}
    assert sum(job.state is State.SUCCEEDED for job in told) >= SLOTS // 2
    assert await uncharged(real_store, jobs)


async def test_stopped_in_the_middle_of_its_claims_it_loses_and_charges_none(fleet: Fleet, real_store: Store) -> None:
    """Claims and commits under way when the signals come: each job is done once, by this worker or the next."""
    jobs = [make_job() for _ in range(2_100)]
    for at, pause_s in enumerate((0.0, 0.01, 0.05)):
        name = f"gpu{at}"
        fleet.start(name)
        await ready(real_store, 1)
        await real_store.submit(jobs[at * 700 : (at + 1) * 700])
        process = fleet.processes.pop(name)
        process.send_signal(TERM)
        await asyncio.sleep(pause_s)
        process.send_signal(TERM)
        assert await exit_code(process) == 0
        assert await running(real_store) == 0
    fleet.start("gpu9")
    await eventually(lambda: settled(real_store), what="all jobs settled")
    records = await real_store.read([("HMGET", f"{real_store.prefix}job:{j.id}", "state", "commits") for j in jobs])
    assert {tuple(record) for record in records} == {("succeeded", "1")}
    assert await uncharged(real_store, jobs)
