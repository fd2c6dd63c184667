"""Faults, for real: workers killed, connections dropped, servers restarted, with jobs in flight."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import pytest

from tests.workers import Fleet, clients, drop_connections, eventually, make_job, ready
from viiwork.jobs import Job, Lane, State
from viiwork.settings import EngineSection, Settings
from viiwork.store import Store
from viiwork.store.upkeep import Upkeep

JOBS = 500
GATED = 12
"""For signals that must find jobs running: none of these goes on before its gate is opened."""
SLOTS = 8


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Simulated cards with eight slots each, twenty times as fast as a real one."""
    engine = settings.engine.model_copy(
        update={"kind": "simulated", "model": "sim", "slots": SLOTS, "time_scale": 0.05}
    )
    return settings.model_copy(update={"engine": engine})


@pytest.fixture
def gated(settings: Settings) -> Settings:
    """Workers of `tests.wordy` in their place."""
    return settings.model_copy(update={"engine": EngineSection(kind="noop")})


async def submit(store: Store, count: int) -> list[Job]:
    jobs = [make_job(model="sim", text=f"job {n}") for n in range(count)]
    await store.submit(jobs)
    return jobs


async def held_at_the_gate(store: Store, gate: Path) -> list[Job]:
    """Jobs that a worker holds, and that end once the gate is open."""
    gate.touch()
    jobs = [make_job(text=f"1 words, as {gate} lets") for _ in range(GATED)]
    await store.submit(jobs)

    async def held() -> bool:
        return await running(store) > 0

    await eventually(held, what="jobs in the worker's hands")
    return jobs


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
    fleet: Fleet, real_store: Store, settings: Settings, tmp_path: Path
) -> None:
    """All connections dropped with all slots full: at most K+1 held, and an interactive job starts.

    Its leases are long: one that ran out on a busy machine would run its jobs again, and rightly.
    """
    lasting = settings.model_copy(update={"queue": settings.queue.model_copy(update={"lease_ttl_s": 120.0})})
    scraps = tmp_path / "scraps"
    scraps.mkdir()
    others = await clients(real_store)
    fleet.start("gpu0", "gpu1", settings=lasting, environ={"TMPDIR": str(scraps)})
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
    assert [path for path in scraps.iterdir() if path.is_file()] == []


async def started(store: Store, job: str) -> bool:
    return (await store.job(job)).state not in (State.WAITING, State.QUEUED)


async def most_held(store: Store) -> int:
    await asyncio.sleep(0.5)  # two beats: the counts come with them
    return max(sum(worker.in_flight.values()) for worker in (await store.fleet()).workers)


async def attempts(store: Store, jobs: list[Job]) -> int:
    return sum([(await store.job(job.id)).attempt for job in jobs])


async def test_a_frozen_worker_is_fenced_when_it_thaws(
    fleet: Fleet, real_store: Store, gated: Settings, tmp_path: Path
) -> None:
    """SIGSTOP past the lease: its jobs are done elsewhere, and what it commits afterwards is refused."""
    fleet.start("gpu0", settings=gated, module="tests.wordy")
    await ready(real_store, 1)
    jobs = await held_at_the_gate(real_store, gate := tmp_path / "gate")
    fleet.processes["gpu0"].send_signal(signal.SIGSTOP)
    try:
        fleet.start("gpu1", settings=gated, module="tests.wordy")
        gate.write_bytes(b"1")
        await eventually(lambda: settled(real_store), within_s=90, what="the other worker finishes all")
    finally:
        fleet.processes["gpu0"].send_signal(signal.SIGCONT)
    assert await attempts(real_store, jobs) > GATED, "what it held was run again elsewhere"
    assert await accounts(real_store, jobs) == {"succeeded": GATED}
    await ready(real_store, 2)
    assert await accounts(real_store, jobs) == {"succeeded": GATED}


async def test_a_worker_told_to_stop_gives_back_what_it_cannot_finish(
    fleet: Fleet, real_store: Store, gated: Settings, tmp_path: Path
) -> None:
    """SIGTERM and no grace: exit code 0, and its jobs are done by the other without a strike."""
    hasty = gated.queue.model_copy(update={"drain_grace_s": 0.0, "lease_ttl_s": 120.0})
    hurried = gated.model_copy(update={"queue": hasty})
    fleet.start("gpu0", settings=hurried, module="tests.wordy")
    await ready(real_store, 1)
    jobs = await held_at_the_gate(real_store, gate := tmp_path / "gate")
    assert fleet.stop("gpu0") == 0
    gate.write_bytes(b"1")
    fleet.start("gpu1", settings=hurried, module="tests.wordy")
    await eventually(lambda: settled(real_store), within_s=90, what="the other worker finishes all")
    assert await accounts(real_store, jobs) == {"succeeded": GATED}
    assert await attempts(real_store, jobs) > GATED, "something was given back"
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
