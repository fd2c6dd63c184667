"""A long queue: what submitting and asking cost at a million queued jobs, and that no command holds the server up."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

from bench.machine import machine
from bench.ours import our_side
from bench.report import Figure, Goal, Report
from bench.rig import Rig
from bench.rounds import median
from viiwork.jobs import Job, Lane, child_id, new_id
from viiwork.store import Store
from viiwork.work import ChatInput, Message

SHALLOW = 1000
MODEL = "deep"
SLICE = 5000
CALLS = 200
"""Of each kind, at each depth."""
SLOW_US = 10_000
WORK_S = 5.0
SWEEP_S = 60.0
GOALS = (
    Goal("submit_one_cost_ratio", at_most=1.3),
    Goal("submit_hundred_cost_ratio", at_most=1.3),
    Goal("status_cost_ratio", at_most=1.3),
    Goal("slow_commands", at_most=0),
)


async def run(rig: Rig, *, jobs: int, rounds: int) -> Report:
    """Costs at 1,000 queued jobs, then at `jobs`; there also pause, resume, work, a worker's drain and a cancel."""
    figures: dict[str, Figure] = {**machine(), "server": rig.server_version, "jobs_queued": jobs, "rounds": rounds}
    store = rig.store()
    try:
        await store.client.config_set("slowlog-log-slower-than", SLOW_US)
        await store.client.config_set("slowlog-max-len", 1000)
        queue = Queue(store)
        shallow, deep = await queue.fill(SHALLOW), 0.0
        before = await _costs(queue, rounds)
        empty_bytes = int((await store.client.info("memory"))["used_memory"])
        deep = await queue.fill(jobs)
        full_bytes = int((await store.client.info("memory"))["used_memory"])
        after = await _costs(queue, rounds)
        figures |= {f"{name}_us_at_{SHALLOW}": us for name, us in before.items()}
        figures |= {f"{name}_us_at_depth": us for name, us in after.items()}
        figures |= {f"{name}_cost_ratio": after[name] / us for name, us in before.items()}
        figures["fill_jobs_per_second"] = deep
        figures["fill_jobs_per_second_first_thousand"] = shallow
        figures["bytes_per_queued_job"] = (full_bytes - empty_bytes) / jobs
        figures |= await _steered(rig, queue)
        figures |= await _slow(store)
    finally:
        await store.close()
    return Report("depth", figures, GOALS)


class Queue:
    """One long batch, and a job on its own now and then."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.batch = new_id("an")
        self.size = 0

    async def fill(self, count: int) -> float:
        """Submit so many jobs more; answers jobs a second."""
        begin = time.perf_counter()
        await self.store.open_batch(
            id=self.batch, tenant="bench", lane=Lane.BATCH, model=MODEL, task="", total=0, deadline_s=None
        )
        for first in range(self.size, self.size + count, SLICE):
            jobs = [self._job(n) for n in range(first, min(first + SLICE, self.size + count))]
            await self.store.submit(jobs)
        self.size += count
        return count / (time.perf_counter() - begin)

    async def submit(self, count: int) -> None:
        await self.store.submit([self._job(self.size + n) for n in range(count)])
        self.size += count

    async def status(self) -> None:
        """What a status page asks."""
        await self.store.fleet()
        await self.store.batch(self.batch)
        await self.store.job(child_id(self.batch, str(self.size // 2)))

    def _job(self, n: int) -> Job:
        work = ChatInput(messages=(Message(role="user", content="hello"),), max_output_tokens=16)
        job_id = child_id(self.batch, str(n))
        return Job(id=job_id, tenant="bench", lane=Lane.BATCH, model=MODEL, input=work, batch=self.batch)


async def _costs(queue: Queue, rounds: int) -> dict[str, float]:
    """Microseconds of each kind of call: the median over all calls of all rounds."""
    kinds: dict[str, Callable[[], Awaitable[Any]]] = {
        "submit_one": lambda: queue.submit(1),
        "submit_hundred": lambda: queue.submit(100),
        "status": queue.status,
    }
    took: dict[str, list[float]] = {name: [] for name in kinds}
    for _ in range(rounds * CALLS):
        for name, act in kinds.items():
            begin = time.perf_counter()
            await act()
            took[name].append(time.perf_counter() - begin)
    return {name: 1e6 * median(times) for name, times in took.items()}


async def _steered(rig: Rig, queue: Queue) -> dict[str, Figure]:
    """Pause, resume, some work and a drained worker, a cancel: each takes how long, seen from outside."""
    store, figures = queue.store, dict[str, Figure]()
    await store.seal(queue.batch)
    for name, act in (("pause", store.pause), ("resume", store.resume)):
        begin = time.perf_counter()
        await act(queue.batch)
        figures[f"{name}_ms"] = 1000 * (time.perf_counter() - begin)
    async with our_side(rig, model=MODEL) as side:
        await asyncio.sleep(WORK_S)
        begin = time.perf_counter()
        await asyncio.to_thread(side.worker.stop)
        figures["drain_s"] = time.perf_counter() - begin
    figures["jobs_done_meanwhile"] = (await store.batch(queue.batch)).counts.succeeded
    begin = time.perf_counter()
    await store.cancel_batch(queue.batch)
    figures["cancel_answer_s"] = time.perf_counter() - begin
    figures |= await _swept(store, queue.batch)
    return figures


async def _swept(store: Store, batch: str) -> dict[str, Figure]:
    """How fast what waits of a cancelled batch is ended: a minute of it, at half of the time each, as upkeep does."""
    begin, before = time.perf_counter(), (await store.batch(batch)).counts.cancelled
    await store.sweep_cancelled(batch, for_s=SWEEP_S)
    after = (await store.batch(batch)).counts.cancelled
    return {"cancel_swept_jobs_per_second": (after - before) / (time.perf_counter() - begin)}


async def _slow(store: Store) -> dict[str, Figure]:
    """Commands of ours that took the server over 10 ms."""
    entries = await store.client.slowlog_get(1000)
    worst = max((entry["duration"] for entry in entries), default=0)
    kinds = {_kind(store, bytes(entry["command"])) for entry in entries}
    calls = int((await store.client.info("commandstats"))["cmdstat_evalsha"]["calls"])
    told = {"slow_commands": len(entries), "of_script_calls": calls, "slowest_command_ms": worst / 1000}
    return {**told, "slow_kinds": ", ".join(sorted(kinds)) or "none"}


def _kind(store: Store, command: bytes) -> str:
    """A command's name, or its script's."""
    name, digest, *_ = [*command.decode(errors="replace").split(), ""]
    return store.scripts.name_of(digest) or name
