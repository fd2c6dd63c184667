"""Stock Celery's side of a comparison."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from bench.rig import Rig, Worker, until
from bench.stock_app import SLOTS, make_stock_app
from viiwork.errors import Unavailable
from viiwork.store.endpoint import broker_url

RESULTS_DB = 1
QUEUE = "celery"
PAUSE_S = 0.0002
BATCH = 50
"""Small enough that the worker is at work while the rest is submitted: with 500 it stood idle, and came out slower."""
TEXT = "hello"


class StockSide:
    """A stock worker and the ways to give it jobs."""

    def __init__(self, rig: Rig, worker: Worker, broker: str, results: str) -> None:
        self.worker = worker
        self._app = make_stock_app(broker, results)
        self._queues = rig.client()
        self._results = rig.client(db=RESULTS_DB)

    async def run(self, count: int, *, batch: bool, results: bool) -> float:
        """Seconds from the first submit until all are done.

        `batch` submits through one Producer in batches, the fastest way to submit that stock Celery has; otherwise
        one `delay` a job, the usual way.
        """
        before = self._results.dbsize()
        begin = time.perf_counter()
        self._submit(count, batch=batch, results=results)
        wanted = before + count if results else before
        await until(
            lambda: self._results.dbsize() >= wanted if results else self._idle(),
            workers=[self.worker],
            what=f"{count} stock jobs",
        )
        took_s = time.perf_counter() - begin
        if self._results.dbsize() != wanted:
            raise Unavailable("stock Celery's results are not as many as its jobs.")
        return took_s

    def latency_s(self) -> float:
        """From `delay` until the result can be read."""
        begin = time.perf_counter()
        task_id = self._app.tasks["noop"].delay(TEXT).id
        while not self._results.exists(f"celery-task-meta-{task_id}"):
            time.sleep(PAUSE_S)
        return time.perf_counter() - begin

    def close(self) -> None:
        self._queues.close()
        self._results.close()
        self._app.close()

    def _submit(self, count: int, *, batch: bool, results: bool) -> None:
        task: Any = self._app.tasks["noop" if results else "noop_ignored"]
        if not batch:
            for _ in range(count):
                task.delay(TEXT)
            return
        with self._app.producer_pool.acquire(block=True) as producer, producer.batch(max_size=BATCH):
            for _ in range(count):
                task.apply_async((TEXT,), producer=producer)

    def _idle(self) -> bool:
        """Nothing queued and nothing unacknowledged; the last few threads may still be at it, in stock's favour."""
        queued, unacked = self._queues.pipeline().llen(QUEUE).hlen("unacked").execute()
        return bool(queued + unacked == 0)


@contextmanager
def stock_side(rig: Rig, *, events: bool = False) -> Iterator[StockSide]:
    """One worker process: `celery worker -P threads -c 32`, all else as it comes."""
    broker = broker_url(rig.url)
    results = broker.replace("virtual_host=0", f"virtual_host={RESULTS_DB}")
    argv = ["-m", "celery", "-A", "bench.stock_app", "worker", "-P", "threads", "-c", str(SLOTS), "-n", "stock@%h"]
    with rig.worker(
        "stock", [*argv, *(["-E"] if events else [])], BENCH_BROKER=broker, BENCH_RESULTS=results
    ) as worker:
        side = StockSide(rig, worker, broker, results)
        try:
            yield side
        finally:
            side.close()
