"""How evenly workers that pull share the work: one job at a time with very unequal jobs, and sixteen at a time."""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Sequence

from bench.crew import ENGINE, Crew, crew, pace, pausing_job
from bench.machine import machine
from bench.report import Figure, Goal, Report
from bench.rig import Rig
from bench.rounds import median
from bench.trace import makespan_s, mean_in_flight, mean_spread, read_spans
from viiwork.jobs import Lane
from viiwork.store import Store

CARDS = 8
SIGMA = 1.0
"""Of the logarithm of a job's duration: one job in 40 takes more than seven times the median."""
SHORT_S = 0.3
"""The mean with one slot a card: each job costs some 9 ms here, with eight workers on two cores."""
LONG_S = 2.0
"""The mean with 16 slots a card."""
SLOTS = 16
LOAD = 0.3
ARRIVALS_PER_JOB = 0.6
SETTLED = 0.15
"""The first part of the arrivals, in which the fleet fills up, does not count."""
GOALS = (Goal("k1_makespan_over_bound", at_most=1.05), Goal("spread_ratio", at_most=0.5))


async def run(rig: Rig, *, jobs: int, rounds: int) -> Report:
    """`rounds` seeds of `jobs` jobs with one slot a card, then arrivals at 30 % load, both kinds of pulling at once."""
    figures: dict[str, Figure] = {**machine(), "engine": ENGINE, "cards": CARDS, "jobs_per_seed": jobs, "seeds": rounds}
    store = rig.store()
    try:
        figures |= await _one_slot(rig, store, jobs=jobs, seeds=rounds)
        figures |= await _many_slots(rig, store, arrivals=max(1, round(jobs * ARRIVALS_PER_JOB)))
    finally:
        await store.close()
    return Report("balance", figures, GOALS)


def durations_s(count: int, *, mean_s: float, seed: int) -> list[float]:
    """Lognormal durations with that mean."""
    lot = random.Random(seed)
    return [lot.lognormvariate(math.log(mean_s) - SIGMA**2 / 2, SIGMA) for _ in range(count)]


def bound_s(durations: Sequence[float], cards: int) -> float:
    """No schedule is shorter: the cards share the work evenly, and the longest job runs on one of them."""
    return max(sum(durations) / cards, max(durations))


def in_turn_s(durations: Sequence[float], cards: int) -> float:
    """Round robin: each card gets every eighth job beforehand, whatever the jobs turn out to be."""
    return max(sum(durations[card::cards]) for card in range(cards))


def pulled_s(durations: Sequence[float], cards: int) -> float:
    """Pulling at no cost: the card that is free first gets the next job."""
    free_at = [0.0] * cards
    for duration_s in durations:
        free_at[free_at.index(min(free_at))] += duration_s
    return max(free_at)


async def _one_slot(rig: Rig, store: Store, *, jobs: int, seeds: int) -> dict[str, Figure]:
    ratios: dict[str, list[float]] = {"makespan": [], "round_robin": [], "pulled_at_no_cost": []}
    async with crew(rig, store, model="one-slot", names=_names(0), slots=1) as cards:
        await _makespan_s(store, cards, [0.005] * (8 * CARDS))  # a warm-up
        for seed in range(seeds):
            durations = durations_s(jobs, mean_s=SHORT_S, seed=seed)
            bound = bound_s(durations, CARDS)
            ratios["makespan"].append(await _makespan_s(store, cards, durations) / bound)
            ratios["round_robin"].append(in_turn_s(durations, CARDS) / bound)
            ratios["pulled_at_no_cost"].append(pulled_s(durations, CARDS) / bound)
    figures: dict[str, Figure] = {"k1_mean_job_s": SHORT_S, "k1_sigma": SIGMA}
    for name, values in ratios.items():
        computed = "" if name == "makespan" else "_computed"
        figures[f"k1_{name}_over_bound{computed}"] = median(values)
    return {**figures, "k1_makespan_over_bound_worst_seed": max(ratios["makespan"])}


async def _makespan_s(store: Store, cards: Crew, durations: Sequence[float]) -> float:
    jobs = [pausing_job(cards.model, Lane.BATCH, duration_s) for duration_s in durations]
    await store.submit(jobs)
    await cards.finish(Lane.BATCH)
    return makespan_s(await read_spans(store, [job.id for job in jobs]))


async def _many_slots(rig: Rig, store: Store, *, arrivals: int) -> dict[str, Figure]:
    """The same jobs at the same moments for both; the window ends with the last arrival."""
    async with (
        crew(rig, store, model="evened", names=_names(0), slots=SLOTS) as evened,
        crew(rig, store, model="in-turn", names=_names(CARDS), slots=SLOTS, argv=_TURNS) as in_turn,
    ):
        crews = (evened, in_turn)
        before_s = [cards.cpu_s() for cards in crews]
        ids = await _arrive(store, crews, arrivals)
        used_s = [cards.cpu_s() - before for cards, before in zip(crews, before_s, strict=True)]
        await asyncio.gather(*(cards.finish(Lane.INTERACTIVE) for cards in crews))
    figures: dict[str, Figure] = {"load": LOAD, "slots_per_card": SLOTS, "mean_job_s": LONG_S, "arrivals": arrivals}
    spreads: list[float] = []
    for cards, cpu_s in zip(crews, used_s, strict=True):
        name = cards.model.replace("-", "_")
        spans = await read_spans(store, ids[cards.model])
        window = {"begin_ms": spans[int(SETTLED * arrivals)].created_ms, "end_ms": spans[-1].created_ms}
        spreads.append(mean_spread(spans, CARDS, **window))
        figures[f"{name}_mean_in_flight_per_card"] = mean_in_flight(spans, **window) / CARDS
        figures[f"{name}_mean_spread"] = spreads[-1]
        figures[f"{name}_start_latency_p50_ms"] = median(span.start_latency_ms for span in spans)
        figures[f"{name}_worker_cpu_us_per_job"] = 1e6 * cpu_s / arrivals
    return {**figures, "spread_ratio": spreads[0] / spreads[1]}


_TURNS = ("-m", "bench.variant_worker", "turns")


async def _arrive(store: Store, crews: Sequence[Crew], arrivals: int) -> dict[str, list[str]]:
    """Poisson arrivals at the load, submitted to every crew alike; answers the ids by model."""
    lot, ids = random.Random(17), {cards.model: list[str]() for cards in crews}
    at_s = asyncio.get_running_loop().time()
    for duration_s in durations_s(arrivals, mean_s=LONG_S, seed=17):
        at_s += lot.expovariate(LOAD * CARDS * SLOTS / LONG_S)
        await pace(at_s)
        jobs = [pausing_job(cards.model, Lane.INTERACTIVE, duration_s) for cards in crews]
        await store.submit(jobs)
        for job in jobs:
            ids[job.model].append(job.id)
    return ids


def _names(first: int) -> list[str]:
    return [f"gpu{number}" for number in range(first, first + CARDS)]
