"""People beside long batch jobs: how soon theirs start, and what the slots kept for them cost.

Three workers at once on one server, so that whatever slows the machine meets all alike: two lanes with a reserve (as
it is), two lanes without one, and a single queue for all.
"""

from __future__ import annotations

import asyncio
import random
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

from bench.crew import ENGINE, OURS, Crew, crew, pace, pausing_job
from bench.lag import Lag
from bench.machine import machine
from bench.report import Figure, Goal, Report
from bench.rig import Rig
from bench.rounds import percentile
from bench.trace import Span, mean_in_flight, read_spans
from viiwork.jobs import Lane
from viiwork.store import Store
from viiwork_workers.ledger import reserve

SLOTS = 32
BATCH_S = (8.0, 16.0)
PERSON_S = (0.5, 2.0)
PEOPLE_PER_S = 4
AHEAD = 16
"""Batch jobs kept waiting: enough that no slot is ever without one."""
FILLED_S = 3.0
"""Counting begins then: every slot has been filled once."""
STALL_MS = 500
VARIANTS = {
    "lanes": ("gpu0", OURS, Lane.INTERACTIVE),
    "no-reserve": ("gpu1", ("-m", "bench.variant_worker", "no-reserve"), Lane.INTERACTIVE),
    "one-queue": ("gpu2", ("-m", "bench.variant_worker", "no-reserve"), Lane.BATCH),
}
"""Worker, how it is started, and the lane that people's jobs are submitted to."""
GOALS = (
    Goal("lanes_start_latency_p50_ms", at_most=5),
    Goal("start_latency_p99_ratio", at_most=1 / 20),
    Goal("batch_throughput_ratio", at_least=0.85),
    Goal("stalls_unexplained", at_most=0),
)


@dataclass(slots=True)
class Side:
    """One worker and what it was given."""

    cards: Crew
    lane: Lane
    lot: random.Random
    people: list[str] = field(default_factory=list)
    batch: list[str] = field(default_factory=list)

    async def person(self, store: Store, pause_s: float) -> None:
        """One job of a person."""
        job = pausing_job(self.cards.model, self.lane, pause_s)
        self.people.append(job.id)
        await store.submit([job])

    async def fill(self, store: Store, *, first: bool = False) -> None:
        """Keep batch jobs waiting; those that fill the slots at first end at all times, not together."""
        missing = SLOTS + AHEAD if first else AHEAD - self.cards.left(Lane.BATCH, "waiting", "queued")
        low, high = (0.0, BATCH_S[1]) if first else BATCH_S
        jobs = [pausing_job(self.cards.model, Lane.BATCH, self.lot.uniform(low, high)) for _ in range(missing)]
        self.batch += [job.id for job in jobs]
        if jobs:
            await store.submit(jobs)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one side did in the window."""

    people: list[Span]
    batch: list[Span]
    begin_ms: float
    end_ms: float

    @property
    def waits_ms(self) -> list[int]:
        return [span.start_latency_ms for span in self.people if span.created_ms >= self.begin_ms]

    @property
    def batch_in_flight(self) -> float:
        """Seconds of batch work done a second."""
        return mean_in_flight(self.batch, begin_ms=self.begin_ms, end_ms=self.end_ms)

    def held_at(self, at_ms: float) -> tuple[int, int]:
        """People's and batch jobs in the slots at a moment."""
        people, batch = (sum(span.runs_at(at_ms) for span in spans) for spans in (self.people, self.batch))
        return people, batch


async def run(rig: Rig, *, jobs: int, rounds: int) -> Report:
    """`jobs` x `rounds` jobs of people to each side, four a second."""
    figures: dict[str, Figure] = {**machine(), "engine": ENGINE, "slots": SLOTS, "reserve": reserve(SLOTS)}
    figures |= {"batch_job_s": "8 to 16", "person_job_s": "0.5 to 2", "people_per_second": PEOPLE_PER_S}
    store = rig.store()
    try:
        async with AsyncExitStack() as stack, Lag() as lag:
            sides = await _sides(rig, store, stack)
            outcomes = await _measured(store, sides, people=jobs * rounds)
    finally:
        await store.close()
    return Report("priority", figures | _figures(outcomes, lag), GOALS)


async def _sides(rig: Rig, store: Store, stack: AsyncExitStack) -> dict[str, Side]:
    sides: dict[str, Side] = {}
    for name, (worker, argv, lane) in VARIANTS.items():
        cards = await stack.enter_async_context(crew(rig, store, model=name, names=[worker], slots=SLOTS, argv=argv))
        sides[name] = Side(cards, lane, random.Random(5))
    return sides


async def _measured(store: Store, sides: dict[str, Side], *, people: int) -> dict[str, Outcome]:
    for side in sides.values():
        await side.fill(store, first=True)
    begin_s = asyncio.get_running_loop().time()
    begin_ms = (time.time() + FILLED_S) * 1000
    lot = random.Random(7)
    for number in range(people + int(FILLED_S * PEOPLE_PER_S)):
        await pace(begin_s + number / PEOPLE_PER_S)
        pause_s = lot.uniform(*PERSON_S)
        for side in sides.values():
            await side.person(store, pause_s)
            await side.fill(store)
    end_ms = time.time() * 1000
    await asyncio.gather(*(side.cards.finish() for side in sides.values()))
    return {
        name: Outcome(await read_spans(store, side.people), await read_spans(store, side.batch), begin_ms, end_ms)
        for name, side in sides.items()
    }


def _figures(outcomes: dict[str, Outcome], lag: Lag) -> dict[str, Figure]:
    figures: dict[str, Figure] = {"people_jobs": len(outcomes["lanes"].waits_ms)}
    for name, outcome in outcomes.items():
        word = name.replace("-", "_")
        for percent in (50, 95, 99, 100):
            figures[f"{word}_start_latency_p{percent}_ms"] = percentile(outcome.waits_ms, percent)
        figures[f"{word}_batch_in_flight"] = outcome.batch_in_flight
    lanes, one_queue = (percentile(outcomes[name].waits_ms, 99) for name in ("lanes", "one-queue"))
    figures["start_latency_p99_ratio"] = lanes / one_queue
    figures["batch_throughput_ratio"] = outcomes["lanes"].batch_in_flight / outcomes["no-reserve"].batch_in_flight
    figures["batch_slots_share_when_nobody_asks"] = (SLOTS - reserve(SLOTS)) / SLOTS
    return figures | _stalls(outcomes["lanes"], lag)


def _stalls(outcome: Outcome, lag: Lag) -> dict[str, Figure]:
    stalled = [span for span in outcome.people if span.start_latency_ms > STALL_MS]
    causes = [_cause(outcome, span, lag) for span in stalled]
    told = [
        f"{span.start_latency_ms} ms: {cause or 'unexplained'}" for span, cause in zip(stalled, causes, strict=True)
    ]
    return {
        "stalls_over_500_ms": len(stalled),
        "stalls_unexplained": causes.count(""),
        "stalls": "; ".join(told) or "none",
    }


def _cause(outcome: Outcome, span: Span, lag: Lag) -> str:
    """Why a person waited: no slot was free, or the machine stood still."""
    people, batch = outcome.held_at(span.created_ms)
    if people + batch >= SLOTS:
        return f"all {SLOTS} slots were held, {people} by people and {batch} by batch"
    stood_ms = lag.within_ms(span.created_ms, span.started_ms)
    return f"the machine stood still for {stood_ms:.0f} ms of it" if stood_ms > STALL_MS / 2 else ""
