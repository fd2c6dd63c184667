"""What the queue costs when the engine costs nothing, beside stock Celery on the same server in the same run."""

from __future__ import annotations

from bench.machine import machine
from bench.measure import Sample, faster, figures_of, measure, ratio_of, ratio_spread
from bench.ours import our_side
from bench.report import Figure, Goal, Report
from bench.rig import Rig
from bench.rounds import percentile
from bench.stock import stock_side

GOALS = (Goal("jobs_per_second_ratio", at_least=1.3),)
LATENCY_JOBS = 40
"""A round."""


async def run(rig: Rig, *, jobs: int, rounds: int) -> Report:
    """Each round runs every variant once, in turn."""
    figures: dict[str, Figure] = {**machine(), "server": rig.server_version, "jobs_per_run": jobs, "rounds": rounds}
    plain = await _plain(rig, jobs, rounds, figures)
    events = await _with_events(rig, jobs, rounds)
    for name, samples in {**plain, **events}.items():
        figures |= figures_of(name, samples)
    best = faster(plain["stock_batch"], plain["stock_delay"])
    figures |= ratio_spread("jobs_per_second_ratio", plain["ours"], best)
    figures["jobs_per_second_ratio_stock_without_results"] = ratio_of(plain["ours"], plain["stock_without_results"])
    figures["jobs_per_second_ratio_one_by_one"] = ratio_of(plain["ours_one_by_one"], plain["stock_delay"])
    figures["jobs_per_second_ratio_with_events"] = ratio_of(events["ours_with_events"], events["stock_with_events"])
    return Report("dispatch", figures, GOALS)


async def _plain(rig: Rig, jobs: int, rounds: int, figures: dict[str, Figure]) -> dict[str, list[Sample]]:
    with stock_side(rig) as stock:
        async with our_side(rig) as ours:
            variants = {
                "ours": (ours.worker, lambda n: ours.run(n, batch=True)),
                "stock_batch": (stock.worker, lambda n: stock.run(n, batch=True, results=True)),
                "ours_one_by_one": (ours.worker, lambda n: ours.run(n, batch=False)),
                "stock_delay": (stock.worker, lambda n: stock.run(n, batch=False, results=True)),
                "stock_without_results": (stock.worker, lambda n: stock.run(n, batch=True, results=False)),
            }
            samples = await measure(rig, variants, jobs=jobs, rounds=rounds)
            ours_s, stock_s = [], []
            for _ in range(rounds * LATENCY_JOBS):
                ours_s.append(await ours.latency_s())
                stock_s.append(stock.latency_s())
    for name, waits in (("ours", ours_s), ("stock", stock_s)):
        for percent in (50, 95):
            figures[f"{name}_single_job_p{percent}_ms"] = 1000 * percentile(waits, percent)
    return samples


async def _with_events(rig: Rig, jobs: int, rounds: int) -> dict[str, list[Sample]]:
    with stock_side(rig, events=True) as stock:
        async with our_side(rig, events=True) as ours:
            variants = {
                "ours_with_events": (ours.worker, lambda n: ours.run(n, batch=True)),
                "stock_with_events": (stock.worker, lambda n: stock.run(n, batch=True, results=True)),
            }
            return await measure(rig, variants, jobs=jobs, rounds=rounds)
