"""How much of eight cards' time the queue leaves to them: what it costs itself on this machine, not what cards do."""

from __future__ import annotations

from bench.crew import ENGINE, Crew, crew, pausing_job
from bench.machine import machine
from bench.report import Figure, Goal, Report
from bench.rig import Rig
from bench.rounds import median
from bench.trace import makespan_s, read_spans
from viiwork.jobs import Lane
from viiwork.store import Store
from viiwork_workers.ledger import reserve

CARDS = 8
SLOTS = 16
JOB_S = 0.5
SHARES = {Lane.INTERACTIVE: SLOTS, Lane.BATCH: SLOTS - reserve(SLOTS)}
"""Slots of a card that a lane may fill when it is alone: people all of them, batch all but the reserve."""
GOALS = (Goal("share_of_ideal", at_least=0.95), Goal("batch_share_of_ideal", at_least=0.95))


async def run(rig: Rig, *, jobs: int, rounds: int) -> Report:
    """`jobs` in the interactive lane, which may use every slot, and as many rounds of the batch lane's share."""
    figures: dict[str, Figure] = {
        **machine(),
        "simulated": f"8 cards: {ENGINE}",
        "cards": CARDS,
        "slots_per_card": SLOTS,
        "job_s": JOB_S,
        "jobs_per_run": jobs,
        "rounds": rounds,
    }
    store = rig.store()
    try:
        async with crew(rig, store, model="scaling", names=[f"gpu{n}" for n in range(CARDS)], slots=SLOTS) as cards:
            figures |= await _both_lanes(rig, store, cards, jobs=jobs, rounds=rounds)
    finally:
        await store.close()
    return Report("scaling", figures, GOALS)


async def _both_lanes(rig: Rig, store: Store, cards: Crew, *, jobs: int, rounds: int) -> dict[str, Figure]:
    await _run_s(store, cards, Lane.INTERACTIVE, CARDS * SLOTS)  # a warm-up
    took_s: dict[Lane, list[float]] = {lane: [] for lane in SHARES}
    workers_s, server_s, done = cards.cpu_s(), rig.server_cpu_s(), 0
    for _ in range(rounds):
        for lane, share in SHARES.items():
            count = jobs * share // SLOTS
            took_s[lane].append(await _run_s(store, cards, lane, count) / ideal_s(count, share))
            done += count
    interactive, batch = (1 / median(took_s[lane]) for lane in (Lane.INTERACTIVE, Lane.BATCH))
    return {
        "ideal_jobs_per_second": CARDS * SLOTS / JOB_S,
        "jobs_per_second": interactive * CARDS * SLOTS / JOB_S,
        "share_of_ideal": interactive,
        "batch_slots_per_card": SHARES[Lane.BATCH],
        "batch_share_of_ideal": batch,
        "worker_cpu_us_per_job": 1e6 * (cards.cpu_s() - workers_s) / done,
        "server_cpu_us_per_job": 1e6 * (rig.server_cpu_s() - server_s) / done,
    }


def ideal_s(count: int, slots: int) -> float:
    """As many jobs at once as there are slots, wave after wave, at no cost between them."""
    return -(-count // (CARDS * slots)) * JOB_S


async def _run_s(store: Store, cards: Crew, lane: Lane, count: int) -> float:
    jobs = [pausing_job(cards.model, lane, JOB_S) for _ in range(count)]
    await store.submit(jobs)
    await cards.finish(lane)
    return makespan_s(await read_spans(store, [job.id for job in jobs]))
