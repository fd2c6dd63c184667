"""Several of our worker processes that serve one model, and jobs that only keep a slot for a while."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager

from bench.rig import Rig, Worker, until
from viiwork.jobs import Job, Lane, new_id
from viiwork.store import Store
from viiwork.work import ChatInput, Message

ENGINE = "no-op engine that waits as long as each job says; no card, no model"
"""What stands in the reports: these scenarios measure what is around an engine."""
OURS = ("-m", "viiwork_workers")
NOOP: Mapping[str, object] = {"kind": "noop"}
UNFINISHED = ("waiting", "queued", "running")


class Crew:
    """Workers of one model."""

    def __init__(self, rig: Rig, store: Store, *, model: str, workers: list[Worker]) -> None:
        self.model = model
        self.workers = workers
        self._probe = rig.client()
        self._prefix = store.prefix

    def left(self, lane: Lane, *states: str) -> int:
        """How many jobs of a lane have not ended, or are in one of `states`."""
        fields = [f"{lane.value}.{self.model}|{state}" for state in states or UNFINISHED]
        return sum(int(depth or 0) for depth in self._probe.hmget(f"{self._prefix}depth", fields))

    async def finish(self, *lanes: Lane, within_s: float = 300.0) -> None:
        """Wait until nothing is left."""

        def idle() -> bool:
            return not any(self.left(lane) for lane in lanes or tuple(Lane))

        await until(idle, workers=self.workers, what=f"the last jobs of {self.model}", within_s=within_s)

    async def ended(self, batch: str, *, within_s: float) -> None:
        """Wait until a batch has ended, however it did."""
        key = f"{self._prefix}batch:{batch}"
        what = f"the end of {batch}"
        await until(
            lambda: bool(self._probe.hget(key, "finished_ms")), workers=self.workers, what=what, within_s=within_s
        )

    async def joined(self) -> None:
        """Wait until all of them serve."""
        key = f"{self._prefix}slots:batch.{self.model}"
        await until(
            lambda: int(self._probe.hlen(key)) == len(self.workers),
            workers=self.workers,
            what=f"{len(self.workers)} workers of {self.model}",
        )

    def cpu_s(self) -> float:
        """Processor time of all of them so far."""
        return sum(worker.cpu_s() for worker in self.workers)

    def close(self) -> None:
        self._probe.close()


@asynccontextmanager
async def crew(
    rig: Rig,
    store: Store,
    *,
    model: str,
    names: Sequence[str],
    slots: int,
    argv: Sequence[str] = OURS,
    engine: Mapping[str, object] = NOOP,
) -> AsyncIterator[Crew]:
    """Worker processes that have all joined; they end with the block. `engine` is what their settings say of theirs."""
    held = rig.settings.engine.model_copy(update={**engine, "model": model, "slots": slots})
    queue = rig.settings.queue.model_copy(update={"drain_grace_s": 0.0})
    settings = rig.settings.model_copy(update={"engine": held, "queue": queue})
    with ExitStack() as stack:
        # Started together, they end together: one at a time each waits for its own leave-taking.
        workers = [stack.enter_context(rig.worker(name, [*argv, name], settings=settings)) for name in names]
        stack.callback(_terminate, workers)
        made = Crew(rig, store, model=model, workers=workers)
        stack.callback(made.close)
        await made.joined()
        yield made


def _terminate(workers: Sequence[Worker]) -> None:
    for worker in workers:
        worker.terminate()


def pausing_job(model: str, lane: Lane, pause_s: float) -> Job:
    """A job that keeps its slot for `pause_s` and answers nothing."""
    work = ChatInput(messages=(Message(role="user", content=f"pause {pause_s:.6f} s"),), max_output_tokens=1)
    return Job(id=new_id("job"), tenant="bench", lane=lane, model=model, input=work)


async def pace(at_s: float) -> None:
    """Sleep until the running loop's clock shows `at_s`."""
    await asyncio.sleep(max(0.0, at_s - asyncio.get_running_loop().time()))
