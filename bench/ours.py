"""VIIWork's side of a comparison: the store that the API submits through, and one engine worker."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from bench.rig import Rig, Worker, until
from bench.stock import PAUSE_S, TEXT
from viiwork.errors import Unavailable
from viiwork.jobs import TERMINAL, Job, Lane, new_id
from viiwork.store import Store
from viiwork.work import ChatInput, Message


class OurSide:
    """One of our workers and the ways to give it jobs."""

    def __init__(self, rig: Rig, worker: Worker, store: Store, *, model: str) -> None:
        self.worker = worker
        self._rig = rig
        self._store = store
        self._model = model
        self._probe = rig.client()

    async def run(self, count: int, *, batch: bool) -> float:
        """Seconds from the first submit until all are committed; `batch` submits them in one call, else one by one."""
        begin = time.perf_counter()
        jobs = [job_of(self._model, Lane.BATCH) for _ in range(count)]
        for part in [jobs] if batch else [[job] for job in jobs]:
            await self._store.submit(part)
        await until(self._idle, workers=[self.worker], what=f"{count} jobs")
        took_s = time.perf_counter() - begin
        await self._check(jobs)
        return took_s

    async def latency_s(self) -> float:
        """From `submit` until the result can be read."""
        begin = time.perf_counter()
        job = job_of(self._model, Lane.INTERACTIVE)
        await self._store.submit([job])
        while self._probe.hget(f"{self._store.prefix}job:{job.id}", "state") not in TERMINAL:
            time.sleep(PAUSE_S)  # noqa: ASYNC251 - nothing else runs here, and both sides must wait alike
        return time.perf_counter() - begin

    async def joined(self) -> None:
        """Wait until the worker is in the roster."""
        end = time.monotonic() + 60
        while self._model not in (await self._store.fleet()).models:
            self.worker.check()
            if time.monotonic() > end:
                raise Unavailable(f"the worker {self.worker.name} did not join within 60 s.")
            await asyncio.sleep(0.05)

    def close(self) -> None:
        self._probe.close()

    def _idle(self) -> bool:
        fields = [f"batch.{self._model}|{state}" for state in ("waiting", "queued", "running")]
        return sum(int(depth or 0) for depth in self._probe.hmget(f"{self._store.prefix}depth", fields)) == 0

    async def _check(self, jobs: list[Job]) -> None:
        commands = [("HMGET", f"{self._store.prefix}job:{job.id}", "state", "commits") for job in jobs]
        wrong = sum(record != ["succeeded", "1"] for record in await self._store.read(commands))
        if wrong:
            raise Unavailable(f"{wrong} jobs were not committed exactly once.")


def job_of(model: str, lane: Lane) -> Job:
    """A job as small as those of the other sides."""
    work = ChatInput(messages=(Message(role="user", content=TEXT),), max_output_tokens=16)
    return Job(id=new_id("job"), tenant="bench", lane=lane, model=model, input=work)


@asynccontextmanager
async def our_side(
    rig: Rig, *, events: bool = False, model: str = "noop", argv: tuple[str, ...] = ("-m", "viiwork_workers", "cpu0")
) -> AsyncIterator[OurSide]:
    """One worker process of ours with the no-op engine's 32 slots."""
    flower = rig.settings.flower.model_copy(update={"enabled": events})
    engine = rig.settings.engine.model_copy(update={"model": model})
    settings = rig.settings.model_copy(update={"flower": flower, "engine": engine})
    store = rig.store()
    try:
        with rig.worker(argv[-1], list(argv), settings=settings) as worker:
            side = OurSide(rig, worker, store, model=model)
            await side.joined()
            try:
                yield side
            finally:
                side.close()
    finally:
        await store.close()
