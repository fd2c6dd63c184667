"""Ten jobs behind fifty thousand: how much longer than alone, for another tenant and for another batch of the same."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from bench.machine import machine
from bench.report import Figure, Goal, Report
from bench.rig import Rig, Worker, until
from bench.rounds import median
from viiwork.jobs import TERMINAL, Job, Lane, child_id, new_id
from viiwork.store import Store
from viiwork.work import ChatInput, Message

MODEL = "sim"
SLOTS = (1, 4)
"""A card that runs one job at a time, and one that runs three of the batch lane."""
TIME_SCALE = 0.1
SMALL, LARGE = 16, 128
"""Output tokens of an ordinary job, and of one that costs about five times as much."""
FEW = 10
SLICE = 5000
NAMES = {"tenant": "another tenant", "batch": "another batch of the same tenant", "cost": "dear jobs of another tenant"}
GOALS = tuple(Goal(f"k{slots}_{name}_times_alone", at_most=2.5) for slots in SLOTS for name in NAMES)


async def run(rig: Rig, *, jobs: int, rounds: int) -> Report:
    """For each number of slots: the few alone, then each kind of few behind `jobs` others, `rounds` times."""
    figures: dict[str, Figure] = {
        **machine(),
        "engine": "simulated Radeon VII",
        "jobs_in_front": jobs,
        "rounds": rounds,
    }
    for slots in SLOTS:
        async with _card(rig, slots) as bench:
            figures |= await _measured(bench, slots, jobs, rounds)
    return Report("fairness", figures, GOALS)


class Card:
    """One simulated card, and who gives it jobs."""

    def __init__(self, store: Store, worker: Worker) -> None:
        self.store, self.worker = store, worker

    async def few(self, *, tenant: str, tokens: int) -> float:
        """Seconds from the submit of a small batch until its last job has ended."""
        batch = await self._batch(tenant, FEW)
        jobs = _jobs(batch, FEW, tenant=tenant, tokens=tokens)
        begin = time.perf_counter()
        await self.store.submit(jobs)
        await self.store.seal(batch)
        await self._ended(jobs)
        return time.perf_counter() - begin

    async def crowd(self, count: int, *, tenant: str) -> str:
        """The batch that stands in front of everybody; answers once some of it runs."""
        batch = await self._batch(tenant, count)
        for first in range(0, count, SLICE):
            size = min(SLICE, count - first)
            await self.store.submit(_jobs(batch, size, tenant=tenant, tokens=SMALL, first=first))
        await self.store.seal(batch)
        while not (await self.store.batch(batch)).counts.settled:  # noqa: ASYNC110 - another process works it off
            await asyncio.sleep(0.05)
        return batch

    async def disperse(self, batch: str) -> None:
        """Cancel what is left of the crowd, and see it gone."""
        await self.store.cancel_batch(batch)
        await self.store.sweep_cancelled(batch)

    async def _batch(self, tenant: str, total: int) -> str:
        batch = new_id("an")
        await self.store.open_batch(id=batch, tenant=tenant, lane=Lane.BATCH, model=MODEL, task="", total=total)
        return batch

    async def _ended(self, jobs: Sequence[Job]) -> None:
        commands = [("HGET", f"{self.store.prefix}job:{job.id}", "state") for job in jobs]
        while any(state not in TERMINAL for state in await self.store.read(commands)):
            self.worker.check()
            await asyncio.sleep(0.002)


async def _measured(card: Card, slots: int, jobs: int, rounds: int) -> dict[str, Figure]:
    await card.few(tenant="few@lab", tokens=SMALL)  # a warm-up
    alone = {
        tokens: median([await card.few(tenant="few@lab", tokens=tokens) for _ in range(rounds)])
        for tokens in (SMALL, LARGE)
    }
    crowd = await card.crowd(jobs, tenant="many@lab")
    kinds = {"tenant": ("few@lab", SMALL), "batch": ("many@lab", SMALL), "cost": ("few@lab", LARGE)}
    figures: dict[str, Figure] = {}
    for name, (tenant, tokens) in kinds.items():
        took_s = [await card.few(tenant=tenant, tokens=tokens) for _ in range(rounds)]
        figures[f"k{slots}_{name}_alone_s"] = alone[tokens]
        figures[f"k{slots}_{name}_behind_s"] = median(took_s)
        figures[f"k{slots}_{name}_times_alone"] = median(took_s) / alone[tokens]
    await card.disperse(crowd)
    return figures


@asynccontextmanager
async def _card(rig: Rig, slots: int) -> AsyncIterator[Card]:
    engine = rig.settings.engine.model_copy(
        update={"kind": "simulated", "model": MODEL, "slots": slots, "time_scale": TIME_SCALE}
    )
    settings = rig.settings.model_copy(update={"engine": engine})
    store = rig.store()
    try:
        with rig.worker("gpu0", ["-m", "viiwork_workers", "gpu0"], settings=settings) as worker:
            probe = rig.client()
            known = f"{store.prefix}slots:batch.{MODEL}"
            await until(lambda: bool(probe.hlen(known)), workers=[worker], what="the worker")
            probe.close()
            yield Card(store, worker)
    finally:
        await store.close()


def _jobs(batch: str, count: int, *, tenant: str, tokens: int, first: int = 0) -> list[Job]:
    work = ChatInput(messages=(Message(role="user", content="hello"),), max_output_tokens=tokens)
    return [
        Job(
            id=child_id(batch, str(n)),
            tenant=tenant,
            lane=Lane.BATCH,
            model=MODEL,
            input=work,
            batch=batch,
            prompt_tokens=8,
            max_output_tokens=tokens,
        )
        for n in range(first, first + count)
    ]
