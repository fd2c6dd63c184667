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


class StockProducer:
    """The ways to give stock Celery jobs."""

    def __init__(self, rig: Rig, *, db: int = 0) -> None:
        self._app = make_stock_app(stock_address(rig, db=db), stock_address(rig, db=RESULTS_DB))

    def submit(self, count: int, *, batch: bool, results: bool = True) -> None:
        """`batch` goes through one Producer in batches, the fastest way stock Celery has; else one `delay` a job."""
        task: Any = self._app.tasks["noop" if results else "noop_ignored"]
        if not batch:
            for _ in range(count):
                task.delay(TEXT)
            return
        with self._app.producer_pool.acquire(block=True) as producer, producer.batch(max_size=BATCH):
            for _ in range(count):
                task.apply_async((TEXT,), producer=producer)

    def submit_one(self) -> str:
        """The id of its task."""
        return str(self._app.tasks["noop"].delay(TEXT).id)

    def close(self) -> None:
        self._app.close()


class StockSide:
    """A stock worker and the ways to give it jobs."""

    def __init__(self, rig: Rig, worker: Worker) -> None:
        self.worker = worker
        self._producer = StockProducer(rig)
        self._queues = rig.client()
        self._results = rig.client(db=RESULTS_DB)

    async def run(self, count: int, *, batch: bool, results: bool) -> float:
        """Seconds from the first submit until all are done."""
        before = self._results.dbsize()
        begin = time.perf_counter()
        self._producer.submit(count, batch=batch, results=results)
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
        task_id = self._producer.submit_one()
        while not self._results.exists(f"celery-task-meta-{task_id}"):
            time.sleep(PAUSE_S)
        return time.perf_counter() - begin

    def close(self) -> None:
        self._queues.close()
        self._results.close()
        self._producer.close()

    def _idle(self) -> bool:
        """Nothing queued and nothing unacknowledged; the last few threads may still be at it, in stock's favour."""
        queued, unacked = self._queues.pipeline().llen(QUEUE).hlen("unacked").execute()
        return bool(queued + unacked == 0)


def stock_address(rig: Rig, *, db: int) -> str:
    """The server's URL as Celery takes it."""
    return broker_url(rig.url).replace("virtual_host=0", f"virtual_host={db}")


@contextmanager
def stock_side(rig: Rig, *, events: bool = False) -> Iterator[StockSide]:
    """One worker process: `celery worker -P threads -c 32`, all else as it comes."""
    argv = ["-m", "celery", "-A", "bench.stock_app", "worker", "-P", "threads", "-c", str(SLOTS), "-n", "stock@%h"]
    broker, results = stock_address(rig, db=0), stock_address(rig, db=RESULTS_DB)
    argv += ["-E"] if events else []
    with rig.worker("stock", argv, BENCH_BROKER=broker, BENCH_RESULTS=results) as worker:
        side = StockSide(rig, worker)
        try:
            yield side
        finally:
            side.close()
