"""The engine in question behind a whole fleet: the API, a reader and one worker, as people's documents meet it."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from bench.quality.desk import Desk
from bench.rig import Rig, Worker, make_rig
from viiwork.client import AsyncClient
from viiwork.errors import Unavailable, ViiworkError
from viiwork.fleet.plan import api_url
from viiwork.fleet.ports import settle_ports
from viiwork.jobs import Row
from viiwork.multipart import TextDocument
from viiwork.settings import EngineSection, Settings
from viiwork.store import Store

READY_S = 180.0
POLL_S = 0.1
MOST_REASONS = 3
AT_ONCE = 8
"""Analyses in the fleet at the same time."""
THREADS = {"OPENBLAS_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
"""As `viiwork up` starts workers."""


@dataclass(frozen=True, slots=True)
class Order:
    """One analysis: a task on some documents."""

    task: str
    documents: Sequence[TextDocument | Path]
    options: Mapping[str, Any] = field(default_factory=dict)


async def rows_of(desk: Desk, orders: Sequence[Order], told: str) -> list[list[Row]]:
    """For each order its rows, in the order of its documents. Raises ViiworkError when the engine cannot be had."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=desk.console, transient=True, disable=not desk.console.is_terminal) as bar:
        bars = bar.add_task(told, total=sum(len(order.documents) for order in orders))
        async with fleet(desk.engine) as client:
            gate = asyncio.Semaphore(AT_ONCE)

            async def rows(order: Order) -> list[Row]:
                async with gate:
                    found = list[Row]()
                    async for row in await client.analyze(order.documents, task=order.task, **order.options):
                        found.append(row)
                        bar.advance(bars)
                    return sorted(found, key=lambda row: row.index)

            try:
                async with asyncio.TaskGroup() as group:
                    waits = [group.create_task(rows(order)) for order in orders]
            except* ViiworkError as errors:
                raise first(errors) from None
    found = [wait.result() for wait in waits]
    tell_failures(desk, [row for rows in found for row in rows])
    return found


def tell_failures(desk: Desk, rows: Sequence[Row]) -> None:
    """Why documents have no answer, the commonest reasons: a figure may be low for nothing but that."""
    reasons = Counter(f"{row.error.message} {row.error.hint}".strip() for row in rows if row.error)
    for reason, count in reasons.most_common(MOST_REASONS):
        desk.console.print(f"  {count} of {len(rows)} failed: {reason}", highlight=False, markup=False)


def first(errors: ExceptionGroup[ViiworkError]) -> ViiworkError:
    """One of them is enough to be told."""
    error = errors.exceptions[0]
    return first(error) if isinstance(error, ExceptionGroup) else error


@asynccontextmanager
async def fleet(engine: EngineSection) -> AsyncIterator[AsyncClient]:
    """A client of a fleet that takes jobs; all of it ends with the block. Raises StartupError, Unavailable."""
    with make_rig() as rig:
        settings = _settings(rig, engine)
        store = rig.store()
        try:
            with (
                rig.worker("api", ["-m", "viiwork.api"], settings=settings) as api,
                rig.worker("reader0", ["-m", "viiwork_workers", "reader0"], settings=settings, **THREADS) as reader,
                rig.worker("cpu0", ["-m", "viiwork_workers", "cpu0"], settings=settings, **THREADS) as worker,
            ):
                await _ready(store, [api, reader, worker])
                async with AsyncClient(api_url(settings), submitter="quality") as client:
                    yield client
        finally:
            await store.close()


def _settings(rig: Rig, engine: EngineSection) -> Settings:
    api = rig.settings.api.model_copy(update={"port": 0})
    return settle_ports(rig.settings.model_copy(update={"engine": engine, "api": api}))


async def _ready(store: Store, workers: Sequence[Worker]) -> None:
    end = time.monotonic() + READY_S
    while sum(bool(one.card.limit) for one in (await store.fleet()).workers) < 2:
        for worker in workers:
            worker.check()
        if time.monotonic() > end:
            raise Unavailable(f"after {READY_S:.0f} s the engine takes no jobs.", hint="Look whether it answers.")
        await asyncio.sleep(POLL_S)
    await asyncio.sleep(1.0)  # the API's picture of the fleet is a second old at most
