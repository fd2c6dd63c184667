"""What ten workers weigh beside their engines: memory at rest and after jobs, and processor time while nobody asks."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

import psutil

from bench.answering import MODEL, answering
from bench.crew import UNFINISHED
from bench.machine import machine
from bench.manned import CARDS, SLOTS, WORKERS, Manned, manned
from bench.report import Figure, Goal, Report
from bench.rig import Rig, until
from bench.rounds import median
from bench.weight import cpu_s, memory_of
from viiwork.jobs import Job, Lane, new_id
from viiwork.work import ChatInput, Message

SETTLE_S = 10.0
"""After the start and after the jobs: the last events are sent, and connections of the moment are gone."""
WINDOW_S = 20.0
"""One round of idleness."""
WAVE = 1000
GOALS = (Goal("worker_rss_mb_max", at_most=120), Goal("ten_idle_workers_core_percent", at_most=3))


async def run(rig: Rig, *, jobs: int, rounds: int) -> Report:
    """`jobs` over all workers between two looks at their memory, then `rounds` times 20 s in which nobody asks."""
    figures: dict[str, Figure] = {
        **machine(),
        "engine": "a stand-in server that answers at once, one for all workers; the guards are real",
        "cards": f"{CARDS}: files, each read by its worker",
        "workers": WORKERS,
        "slots_per_worker": SLOTS,
        "jobs": jobs,
        "idle_s": rounds * WINDOW_S,
    }
    with answering() as url:
        async with manned(rig, url) as fleet:
            await asyncio.sleep(SETTLE_S)
            figures |= memory_of("worker_before_jobs", fleet.workers)
            await _work(rig, fleet, jobs)
            await asyncio.sleep(SETTLE_S)
            figures |= _memory(fleet)
            figures |= await _idle(rig, fleet, rounds)
    return Report("footprint", figures, GOALS)


def _memory(fleet: Manned) -> dict[str, Figure]:
    return {
        **memory_of("worker", fleet.workers),
        **memory_of("guard", fleet.guards),
        **memory_of("flower", [fleet.flower]),
        "worker_threads_max": max(process.num_threads() for process in fleet.workers),
    }


async def _idle(rig: Rig, fleet: Manned, rounds: int) -> dict[str, Figure]:
    """Percent of one core, medians over the rounds; by the processes' own clocks, which others do not move."""
    kinds = {"ten_idle_workers": fleet.workers, "ten_guards": fleet.guards, "flower": [fleet.flower]}
    windows = [await _window(rig, kinds) for _ in range(rounds)]
    for worker in fleet.started:
        worker.check()
    return {f"{name}_core_percent": median(window[name] for window in windows) for name in windows[0]}


async def _window(rig: Rig, kinds: Mapping[str, Sequence[psutil.Process]]) -> dict[str, float]:
    clock = asyncio.get_running_loop().time
    before, begin = _clocks(rig, kinds), clock()
    await asyncio.sleep(WINDOW_S)
    after, window_s = _clocks(rig, kinds), clock() - begin
    return {name: 100 * (after[name] - before[name]) / window_s for name in before}


def _clocks(rig: Rig, kinds: Mapping[str, Sequence[psutil.Process]]) -> dict[str, float]:
    return {name: cpu_s(kind) for name, kind in kinds.items()} | {"server": rig.server_cpu_s()}


async def _work(rig: Rig, fleet: Manned, jobs: int) -> None:
    """Half of them for people, and streamed."""
    client, prefix = rig.client(), fleet.store.prefix
    fields = [f"{lane.value}.{MODEL}|{state}" for lane in Lane for state in UNFINISHED]

    def done() -> bool:
        return not any(int(depth or 0) for depth in client.hmget(f"{prefix}depth", fields))

    try:
        for first in range(0, jobs, WAVE):
            await fleet.store.submit([_job(number) for number in range(first, min(jobs, first + WAVE))])
            await until(done, workers=fleet.started, what=f"{jobs} jobs", within_s=300)
    finally:
        client.close()


def _job(number: int) -> Job:
    lane = Lane.INTERACTIVE if number % 2 else Lane.BATCH
    said = Message(role="user", content=f"What colour is the sky on day {number}? " * 20)
    work = ChatInput(messages=(said,), max_output_tokens=16, stream=lane is Lane.INTERACTIVE)
    return Job(id=new_id("job"), tenant="bench", lane=lane, model=MODEL, input=work)
