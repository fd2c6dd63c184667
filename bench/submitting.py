"""How fast jobs are taken in while nobody works on them: one large submit, beside what the others have for it."""

from __future__ import annotations

import time
from collections.abc import Callable

from bench.dramatiq_side import DramatiqProducer
from bench.measure import figures_of, measure
from bench.ours import job_of
from bench.report import Figure
from bench.rig import Rig
from bench.stock import StockProducer
from viiwork.jobs import Lane

MODEL = "unserved"
STOCK_DB, DRAMATIQ_DB = 4, 5
"""Databases in which nobody looks for work."""
TIMES = 4
"""So many times the jobs of another run: the run must last long enough to be timed."""


class Producer:
    """This process."""

    def cpu_s(self) -> float:
        """Processor time that it has used so far."""
        return time.process_time()


ME = Producer()


async def submit_figures(rig: Rig, *, jobs: int, rounds: int) -> dict[str, Figure]:
    """Each in turn, `rounds` times."""
    store, stock, rival = rig.store(), StockProducer(rig, db=STOCK_DB), DramatiqProducer(rig, db=DRAMATIQ_DB)

    async def ours(count: int) -> float:
        jobs = [job_of(MODEL, Lane.BATCH) for _ in range(count)]
        begin = time.perf_counter()
        await store.submit(jobs)
        return time.perf_counter() - begin

    async def stock_batch(count: int) -> float:
        return _took_s(lambda: stock.submit(count, batch=True))

    async def dramatiq_group(count: int) -> float:
        return _took_s(lambda: rival.submit(count, batch=True))

    ways = {"submit": ours, "stock_submit": stock_batch, "dramatiq_submit": dramatiq_group}
    try:
        samples = await measure(rig, {name: (ME, way) for name, way in ways.items()}, jobs=TIMES * jobs, rounds=rounds)
    finally:
        await store.close()
        stock.close()
        rival.close()
    figures = {name: figure for which, runs in samples.items() for name, figure in figures_of(which, runs).items()}
    return {name.replace("_worker_", "_producer_"): figure for name, figure in figures.items()}


def _took_s(act: Callable[[], None]) -> float:
    begin = time.perf_counter()
    act()
    return time.perf_counter() - begin
