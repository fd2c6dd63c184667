"""dramatiq's side of a comparison."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import dramatiq

from bench.dramatiq_app import QUEUE, make_dramatiq_app
from bench.rig import Rig, Worker, until
from bench.stock import TEXT

DB = 2
THREADS = 32
"""As many as our slots; with 8, its default, and with 16 it was no faster."""


class DramatiqProducer:
    """The ways to give dramatiq jobs."""

    def __init__(self, rig: Rig, *, db: int = DB) -> None:
        self._broker, self._noop = make_dramatiq_app(rig.address(db=db))

    def submit(self, count: int, *, batch: bool) -> None:
        """`batch` submits them as one group, which dramatiq sends one by one too; otherwise one `send` a job."""
        if batch:
            group: Any = dramatiq.group
            group([self._noop.message(TEXT) for _ in range(count)], broker=self._broker).run()
            return
        for _ in range(count):
            self._noop.send(TEXT)

    def close(self) -> None:
        self._broker.client.close()


class DramatiqSide:
    """A dramatiq worker and its producer."""

    def __init__(self, rig: Rig, worker: Worker) -> None:
        self.worker = worker
        self._producer = DramatiqProducer(rig)
        self._probe = rig.client(db=DB)

    async def run(self, count: int, *, batch: bool) -> float:
        """Seconds from the first submit until every message is acknowledged."""
        begin = time.perf_counter()
        self._producer.submit(count, batch=batch)
        await until(self._idle, workers=[self.worker], what=f"{count} dramatiq jobs")
        return time.perf_counter() - begin

    def close(self) -> None:
        self._probe.close()
        self._producer.close()

    def _idle(self) -> bool:
        """A message stays in this hash until it is acknowledged."""
        return bool(self._probe.hlen(f"dramatiq:{QUEUE}.msgs") == 0)


@contextmanager
def dramatiq_side(rig: Rig) -> Iterator[DramatiqSide]:
    """One worker process of 32 threads, all else as it comes; its first process only watches over the second."""
    argv = ["-m", "dramatiq", "bench.dramatiq_app:broker", "--processes", "1", "--threads", str(THREADS)]
    with rig.worker("dramatiq", argv, BENCH_BROKER=rig.address(db=DB)) as worker:
        side = DramatiqSide(rig, worker)
        try:
            yield side
        finally:
            side.close()
