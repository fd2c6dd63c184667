"""A folder of 300 mixed files, 34 of them hostile, through a real reader: each has its row, and the reader lives."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import psutil
import pytest

from tests.mixed_folder import FILES, HOSTILE, MixedFile, mixed_folder
from tests.workers import Fleet, eventually, ready
from viiwork.documents.contents import likeness
from viiwork.jobs import READER_MODEL, Job, Lane, Row, Settle, State, TaskName, child_id, new_id
from viiwork.settings import Settings
from viiwork.store import Store
from viiwork.work import AnalysisTask, ReadInput, TaskOptions

MODEL, TASK = "sim", AnalysisTask.SUMMARIZE
MOST_BYTES = 600_000_000
"""Resident, of each process that reads: the worker, its helper, the helper's children."""
SAMPLE_S = 0.05


class Watched:
    """The worker and everything below it: who was seen, and the most that one of them held."""

    def __init__(self, pid: int) -> None:
        self.worker = psutil.Process(pid)
        self.helpers: set[int] = set()
        self.most_bytes = 0
        self.samples = 0

    def look(self) -> None:
        helpers = self.worker.children()
        self.helpers |= {helper.pid for helper in helpers}
        for process in (self.worker, *helpers, *(child for helper in helpers for child in helper.children())):
            with suppress(psutil.NoSuchProcess):
                self.most_bytes = max(self.most_bytes, process.memory_info().rss)
        self.samples += 1


@asynccontextmanager
async def watching(pid: int) -> AsyncIterator[Watched]:
    watched = Watched(pid)

    async def watch() -> None:
        while True:
            watched.look()
            await asyncio.sleep(SAMPLE_S)

    task = asyncio.create_task(watch())
    yield watched
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def analysis_of(store: Store, files: list[MixedFile]) -> str:
    batch, jobs = new_id("an"), list[Job]()
    for index, file in enumerate(files):
        blob = await store.blobs.put(file.data)
        options = TaskOptions(max_output_tokens=16)
        work = ReadInput(name=file.name, blob=blob.id, task=TASK, options=options, model=MODEL)
        told = {"task": TaskName.READ, "model": READER_MODEL, "settle": Settle.ON_FAILURE, "input": work}
        like = likeness(blob.sha256, file.name)
        job_id = child_id(batch, str(index))
        jobs.append(Job(id=job_id, tenant="anna@lab", lane=Lane.BATCH, digest=like, batch=batch, **told))
    await store.open_batch(id=batch, tenant="anna@lab", lane=Lane.BATCH, model=MODEL, task=TASK.value, total=len(jobs))
    await store.submit(jobs)
    await store.seal(batch)
    return batch


def wrong_with(file: MixedFile, row: Row) -> str:
    """What came of it that should not have; nothing where all is as it must be."""
    reason = row.error.code if row.error else ""
    if reason != file.reason:
        return f"{file.name}: {reason or 'read'}, and not {file.reason or 'read'}"
    if row.answer is None:
        return "" if row.state is State.FAILED and row.error and row.error.hint else f"{file.name}: {row.state}"
    if file.note and not any(file.note in note for note in row.answer.notes):
        return f"{file.name}: no note says {file.note!r}: {row.answer.notes}"
    return "" if file.pages in (0, row.answer.pages) else f"{file.name}: {row.answer.pages} pages"


@pytest.mark.timeout(400)
async def test_every_file_is_accounted_for_and_the_reader_lives(
    fleet: Fleet, real_store: Store, settings: Settings
) -> None:
    files = mixed_folder()
    assert len(files) == FILES == len({file.name for file in files})
    assert sum(not file.name[0].isdigit() for file in files) == HOSTILE
    engine = settings.engine.model_copy(update={"kind": "simulated", "model": MODEL, "time_scale": 0.001})
    fleet.start("gpu0", "reader0", settings=settings.model_copy(update={"engine": engine}))
    await ready(real_store, 2)
    worker = fleet.processes["reader0"]
    async with watching(worker.pid) as watched:
        batch = await analysis_of(real_store, files)

        async def over() -> bool:
            return (await real_store.batch(batch)).finished

        await eventually(over, within_s=300, what="the end of the analysis")
    rows = sorted([row async for row in real_store.rows(batch)], key=lambda row: (row.index, row.document))
    assert [(row.index, row.document) for row in rows] == [(index, file.name) for index, file in enumerate(files)]
    assert "\n".join(filter(None, map(wrong_with, files, rows))) == ""
    assert worker.poll() is None
    assert watched.samples > 10
    assert len(watched.helpers) == 1, "no file took the helper with it"
    assert watched.most_bytes < MOST_BYTES
