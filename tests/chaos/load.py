"""The jobs of a run: a batch, jobs on their own, and people who ask something now and then."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import count

from tests.chaos.stage import MODEL
from tests.workers import make_job
from viiwork.errors import Unavailable
from viiwork.jobs import Job, Lane, child_id, new_id
from viiwork.store import Store
from viiwork.work import ChatInput, Message

FEED = 50
"""Jobs that are added at a time while a fault is under way, so that it never strikes an idle fleet."""
ASK_EVERY_S = 0.2
AGAIN_S = 0.1


@dataclass(frozen=True, slots=True)
class Volume:
    """How much a run is given before its fault."""

    batch: int
    lone: int
    output_tokens: int = 200


class Load:
    """Submits, submits again until it is told that all was taken and synced, and remembers what it was told."""

    def __init__(self, store: Store, volume: Volume) -> None:
        self._store = store
        self._volume = volume
        self._numbers = count()
        self._pen = asyncio.Lock()
        self.batch = new_id("an")
        self.acknowledged: list[str] = []
        self.interactive: list[str] = []
        self.others: dict[str, int] = {}
        """Batches that were submitted besides, with the number of their items."""

    async def submit(self, extra: Sequence[Job] = ()) -> None:
        """The batch and the jobs on their own; `extra` goes into the middle of the batch."""
        store, wanted = self._store, self._volume.batch
        await store.open_batch(
            id=self.batch, tenant="anna@lab", lane=Lane.BATCH, model=MODEL, task="summarize", total=wanted
        )
        items = [self.job(id=child_id(self.batch, str(n)), batch=self.batch) for n in range(wanted)]
        items[wanted // 2 : wanted // 2] = [job.model_copy(update={"batch": self.batch}) for job in extra]
        await self.take(items)
        await store.seal(self.batch)
        await self.take([self.job(tenant="ben@lab") for _ in range(self._volume.lone)])

    async def take(self, jobs: Sequence[Job]) -> None:
        """Submit until it is acknowledged: taken, and on the server's disk where it can say so."""
        taken = not jobs
        while not taken:
            try:
                async with self._pen:
                    await self.take_once(jobs)
                taken = True
            except Unavailable:
                await asyncio.sleep(AGAIN_S)

    async def take_once(self, jobs: Sequence[Job]) -> None:
        """Raises Unavailable when it is not acknowledged; then nobody knows what was taken."""
        await self._store.submit(jobs)
        durability = await self._store.confirm()
        if not durability.synced:
            raise Unavailable(durability.notice)
        self.acknowledged += [job.id for job in jobs]

    async def hold(self) -> None:
        """Submit nothing more until `go_on`; returns once nothing is under way."""
        await self._pen.acquire()

    def go_on(self) -> None:
        self._pen.release()

    @contextmanager
    def kept_up(self) -> Iterator[None]:
        """While this lasts the backlog never runs dry, and somebody asks something five times a second."""
        tasks = [asyncio.create_task(self._feed()), asyncio.create_task(self._ask())]
        self._stop = asyncio.Event()
        try:
            yield
        finally:
            self._stop.set()
            self._ending = tasks

    async def finished(self) -> None:
        """Wait until everything that was begun is acknowledged."""
        await asyncio.gather(*self._ending)

    async def _feed(self) -> None:
        while not await self._stopped_within(AGAIN_S):
            with suppress(Unavailable):
                if await self._waiting() < FEED:
                    await self.take([self.job(tenant="ben@lab") for _ in range(FEED)])

    async def _ask(self) -> None:
        while not await self._stopped_within(ASK_EVERY_S):
            job = self.job(lane=Lane.INTERACTIVE, tenant="cora@lab")
            await self.take([job])
            self.interactive.append(job.id)

    async def _stopped_within(self, seconds: float) -> bool:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._stop.wait(), seconds)
        return self._stop.is_set()

    async def _waiting(self) -> int:
        return sum(queue.waiting for queue in (await self._store.fleet()).queues)

    def job(self, **fields: object) -> Job:
        n = next(self._numbers)
        tokens = self._volume.output_tokens * (1 + n % 3) // 3
        work = ChatInput(messages=(Message(role="user", content=f"job {n}"),), max_output_tokens=tokens)
        return make_job(model=MODEL, input=work, **{"lane": Lane.BATCH, **fields})  # type: ignore[arg-type] # as it takes
