"""What the queue costs when the engine costs nothing, beside stock Celery and dramatiq on the same server."""

from __future__ import annotations

from collections.abc import Mapping

from bench.dramatiq_side import DramatiqSide, dramatiq_side
from bench.machine import machine
from bench.measure import Sample, Variant, faster, figures_of, measure, ratio_of, ratio_spread
from bench.ours import OurSide, our_side
from bench.report import Figure, Goal, Report
from bench.rig import Rig
from bench.rounds import percentile
from bench.stock import StockSide, stock_side
from bench.submitting import submit_figures

STOCK, DRAMATIQ, SUBMIT = 1.8, 0.5, 15_000
GOALS = (
    Goal("ratio_to_stock_batch", at_least=STOCK),
    Goal("ratio_to_stock_single", at_least=STOCK),
    Goal("ratio_to_stock_batch_events", at_least=STOCK),
    Goal("ratio_to_stock_single_events", at_least=STOCK),
    Goal("ratio_to_dramatiq_batch", at_least=DRAMATIQ),
    Goal("ratio_to_dramatiq_single", at_least=DRAMATIQ),
    Goal("submit_jobs_per_second", at_least=SUBMIT),
)
LATENCY_JOBS = 40
"""A round."""
Samples = Mapping[str, list[Sample]]


async def run(rig: Rig, *, jobs: int, rounds: int) -> Report:
    """Each round runs every variant once, in turn: first without events, then with them."""
    figures: dict[str, Figure] = {**machine(), "server": rig.server_version, "jobs_per_run": jobs, "rounds": rounds}
    plain = await _plain(rig, jobs, rounds, figures)
    events = await _with_events(rig, jobs, rounds)
    for name, samples in {**plain, **events}.items():
        figures |= figures_of(name, samples)
    figures |= _ratios(plain, events)
    figures |= await submit_figures(rig, jobs=jobs, rounds=rounds)
    return Report("dispatch", figures, GOALS)


def _ratios(plain: Samples, events: Samples) -> dict[str, Figure]:
    """A batch of ours stands beside the faster of stock's two ways: its own best is what one would choose."""
    stock, stock_events = (
        faster(side[f"stock_batch{ending}"], side[f"stock_single{ending}"])
        for side, ending in ((plain, ""), (events, "_events"))
    )
    return {
        **ratio_spread("ratio_to_stock_batch", plain["ours_batch"], stock),
        **ratio_spread("ratio_to_stock_single", plain["ours_single"], plain["stock_single"]),
        **ratio_spread("ratio_to_stock_batch_events", events["ours_batch_events"], stock_events),
        **ratio_spread("ratio_to_stock_single_events", events["ours_single_events"], events["stock_single_events"]),
        **ratio_spread("ratio_to_dramatiq_batch", plain["ours_batch"], plain["dramatiq_batch"]),
        **ratio_spread("ratio_to_dramatiq_single", plain["ours_single"], plain["dramatiq_single"]),
        "ratio_to_stock_without_results": ratio_of(plain["ours_batch"], plain["stock_batch_without_results"]),
    }


async def _plain(rig: Rig, jobs: int, rounds: int, figures: dict[str, Figure]) -> dict[str, list[Sample]]:
    with stock_side(rig) as stock, dramatiq_side(rig) as rival:
        async with our_side(rig) as ours:
            variants = {
                **_both_ways(ours, stock, ""),
                **_dramatiq(rival),
                "stock_batch_without_results": (stock.worker, lambda n: stock.run(n, batch=True, results=False)),
            }
            samples = await measure(rig, variants, jobs=jobs, rounds=rounds)
            figures |= await _latencies(ours, stock, rounds * LATENCY_JOBS)
    return samples


async def _with_events(rig: Rig, jobs: int, rounds: int) -> dict[str, list[Sample]]:
    with stock_side(rig, events=True) as stock:
        async with our_side(rig, events=True) as ours:
            return await measure(rig, _both_ways(ours, stock, "_events"), jobs=jobs, rounds=rounds)


def _both_ways(ours: OurSide, stock: StockSide, ending: str) -> dict[str, Variant]:
    return {
        f"ours_batch{ending}": (ours.worker, lambda n: ours.run(n, batch=True)),
        f"stock_batch{ending}": (stock.worker, lambda n: stock.run(n, batch=True, results=True)),
        f"ours_single{ending}": (ours.worker, lambda n: ours.run(n, batch=False)),
        f"stock_single{ending}": (stock.worker, lambda n: stock.run(n, batch=False, results=True)),
    }


def _dramatiq(rival: DramatiqSide) -> dict[str, Variant]:
    return {
        "dramatiq_batch": (rival.worker, lambda n: rival.run(n, batch=True)),
        "dramatiq_single": (rival.worker, lambda n: rival.run(n, batch=False)),
    }


async def _latencies(ours: OurSide, stock: StockSide, count: int) -> dict[str, Figure]:
    ours_s, stock_s = [], []
    for _ in range(count):
        ours_s.append(await ours.latency_s())
        stock_s.append(stock.latency_s())
    return {
        f"{name}_single_job_p{percent}_ms": 1000 * percentile(waits, percent)
        for name, waits in (("ours", ours_s), ("stock", stock_s))
        for percent in (50, 95)
    }
