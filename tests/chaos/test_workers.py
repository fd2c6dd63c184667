"""Faults, for real: workers killed, connections dropped, servers restarted, with jobs in flight."""

from __future__ import annotations

import asyncio
import signal
import tempfile
from pathlib import Path

import pytest

from tests.workers import Fleet, clients, drop_connections, eventually, make_job, ready
from viiwork.jobs import Job, Lane, State
from viiwork.settings import Settings
from viiwork.store import Store
from viiwork.store.upkeep import Upkeep
from viiwork.work import ChatInput, Message

JOBS = 500
LONG_JOBS, LONG_TOKENS = 60, 240
"""For signals that must find jobs running: short ones that are taken together end together, and leave a gap."""
SLOTS = 8


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Simulated cards with eight slots each, twenty times as fast as a real one."""
    engine = settings.engine.model_copy(
        update={"kind": "simulated", "model": "sim", "slots": SLOTS, "time_scale": 0.05}
    )
    return settings.model_copy(update={"engine": engine})


async def submit(store: Store, count: int, *, tokens: int = 16) -> list[Job]:
    jobs = [make_job(model="sim", input=chat(f"job {n}", tokens)) for n in range(count)]
    await store.submit(jobs)
    return jobs


def chat(text: str, tokens: int) -> ChatInput:
    return ChatInput(messages=(Message(role="user", content=text),), max_output_tokens=tokens)


async def accounts(store: Store, jobs: list[Job]) -> dict[str, int]:
    """How many jobs ended how, and how many were committed other than once."""
    fields = ("state", "commits")
    records = await store.read([("HMGET", f"{store.prefix}job:{job.id}", *fields) for job in jobs])
    states: dict[str, int] = {}
    for state, commits in records:
        states[state] = states.get(state, 0) + 1
        if state == "succeeded" and commits != "1":
            states["committed otherwise than once"] = states.get("committed otherwise than once", 0) + 1
    return states


async def settled(store: Store) -> bool:
    return sum(q.waiting + q.queued + q.running for q in (await store.fleet()).queues) == 0


async def both_busy(store: Store) -> bool:
    """More runs than batch may hold on one worker, so both have some."""
    return await running(store) > SLOTS - SLOTS // 4


async def running(store: Store) -> int:
    return sum(queue.running for queue in (await store.fleet()).queues)


async def test_a_worker_killed_under_500_jobs_loses_none_and_doubles_none(fleet: Fleet, real_store: Store) -> None:
    """The other worker takes its jobs over when its lease ends; no job is committed twice."""
    fleet.start("gpu0", "gpu1")
    await ready(real_store, 2)
    jobs = await submit(real_store, JOBS)

    async def busy() -> bool:
        return await running(real_store) >= SLOTS

    await eventually(busy, what="jobs running on both workers")
    fleet.kill("gpu0")
    await eventually(lambda: settled(real_store), within_s=90, what="all jobs settled")
    assert await accounts(real_store, jobs) == {"succeeded": JOBS}


async def test_dropped_connections_rerun_nothing_and_hold_no_slot_back(
    fleet: Fleet, real_store: Store, settings: Settings
) -> None:
    """All connections dropped with all slots full: at most K+1 held, and an interactive job starts.

    Its leases are long: one that ran out on a busy machine would run its jobs again, and rightly.
    """
    lasting = settings.model_copy(update={"queue": settings.queue.model_copy(update={"lease_ttl_s": 120.0})})
    before = set(Path(tempfile.gettempdir()).iterdir())
    others = await clients(real_store)
    fleet.start("gpu0", "gpu1", settings=lasting)
    await ready(real_store, 2)
    jobs = await submit(real_store, JOBS)

    async def full() -> bool:
        return await running(real_store) >= 2 * (SLOTS - SLOTS // 4)

    await eventually(full, what="the batch share of all slots full")
    for _ in range(3):
        await drop_connections(real_store, sparing=others)
        urgent = make_job(model="sim", lane=Lane.INTERACTIVE)
        await real_store.submit([urgent])
        jobs.append(urgent)
        await eventually(lambda job=urgent.id: started(real_store, job), what="the interactive job starts")
        assert await most_held(real_store) <= SLOTS + 1
    await eventually(lambda: settled(real_store), within_s=90, what="all jobs settled")
    assert await accounts(real_store, jobs) == {"succeeded": len(jobs)}
    assert await attempts(real_store, jobs) == len(jobs), "a dropped connection must not run a job again"
    assert [p for p in set(Path(tempfile.gettempdir()).iterdir()) - before if p.is_file()] == []


async def started(store: Store, job: str) -> bool:
    return (await store.job(job)).state not in (State.WAITING, State.QUEUED)


async def most_held(store: Store) -> int:
    await asyncio.sleep(0.5)  # two beats: the counts come with them
    return max(sum(worker.in_flight.values()) for worker in (await store.fleet()).workers)


async def attempts(store: Store, jobs: list[Job]) -> int:
    return sum([(await store.job(job.id)).attempt for job in jobs])


async def test_a_frozen_worker_is_fenced_when_it_thaws(fleet: Fleet, real_store: Store) -> None:
    """SIGSTOP past the lease: its jobs are done elsewhere, and what it commits afterwards is refused."""
    fleet.start("gpu0", "gpu1")
    await ready(real_store, 2)
    jobs = await submit(real_store, LONG_JOBS, tokens=LONG_TOKENS)
    await eventually(lambda: both_busy(real_store), what="jobs running on both workers")
    fleet.processes["gpu0"].send_signal(signal.SIGSTOP)
    try:
        await eventually(lambda: settled(real_store), within_s=90, what="the other worker finishes all")
    finally:
        fleet.processes["gpu0"].send_signal(signal.SIGCONT)
    assert await attempts(real_store, jobs) > LONG_JOBS, "what it held was run again elsewhere"
    assert await accounts(real_store, jobs) == {"succeeded": LONG_JOBS}
    await ready(real_store, 2)
    assert await accounts(real_store, jobs) == {"succeeded": LONG_JOBS}


async def test_a_worker_told_to_stop_gives_back_what_it_cannot_finish(
    fleet: Fleet, real_store: Store, settings: Settings
) -> None:
    """SIGTERM and no grace: exit code 0, and its jobs are done by the other without a strike."""
    hasty = settings.queue.model_copy(update={"drain_grace_s": 0.0})
    fleet.start("gpu0", settings=settings.model_copy(update={"queue": hasty}))
    fleet.start("gpu1")
    await ready(real_store, 2)
    jobs = await submit(real_store, LONG_JOBS, tokens=LONG_TOKENS)
    await eventually(lambda: both_busy(real_store), what="jobs running on both workers")
    assert fleet.stop("gpu0") == 0
    await eventually(lambda: settled(real_store), within_s=90, what="the other worker finishes all")
    assert await accounts(real_store, jobs) == {"succeeded": LONG_JOBS}
    assert await attempts(real_store, jobs) > LONG_JOBS, "something was given back"
    strikes = await real_store.read([("HGET", f"{real_store.prefix}job:{job.id}", "strikes") for job in jobs])
    assert not any(strikes)


async def test_a_hint_that_vanished_is_published_again(real_store: Store, settings: Settings) -> None:
    """A worker that died between its pop and its claim: the hint is gone, the job is not."""
    (job,) = await submit(real_store, 1)
    assert await real_store.client.rpop(f"{real_store.prefix}{job.queue}")
    ttl_s = settings.queue.lease_ttl_s
    patient = Upkeep(real_store, lease_ttl_s=ttl_s, hint_grace_s=3600.0)
    assert await patient.mend() == 0
    await asyncio.sleep(0.01)
    assert await Upkeep(real_store, lease_ttl_s=ttl_s, hint_grace_s=0.005).mend() == 1
    assert await patient.mend() == 0
