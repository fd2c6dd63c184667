"""Questions from Python, to a real worker that writes word by word behind a real door."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.door import Door
from tests.workers import Fleet, eventually, ready
from viiwork import AsyncClient, Client
from viiwork.errors import EngineFault
from viiwork.jobs import State, Status
from viiwork.settings import Settings
from viiwork.store import Store

ENDLESS = "9999 words, one every 0.05 s"
"""For what is cut short: it takes eight minutes."""


@pytest.fixture
async def url(fleet: Fleet, settings: Settings, real_store: Store) -> AsyncIterator[str]:
    fleet.start("gpu0", module="tests.wordy")
    with Door(settings) as door:
        await ready(real_store, 1)
        yield await asyncio.to_thread(lambda: door.url)


async def last_job(store: Store) -> Status:
    """Ids sort by the time that they were given."""
    names = sorted([str(key) async for key in store.client.scan_iter(match=f"{store.prefix}job:*")])
    return await store.job(names[-1].rpartition(":")[2])


async def test_the_answer_comes_in_pieces_while_it_is_written(url: str, real_store: Store, tmp_path: Path) -> None:
    """Put together they are the answer."""
    gate = tmp_path / "gate"
    gate.write_bytes(bytes(1))
    async with AsyncClient(url) as client:
        pieces = []
        async for piece in client.ask(f"20 words, as {gate} lets"):
            pieces.append(piece)
            if len(pieces) <= 2:
                assert (await last_job(real_store)).state is State.RUNNING
                gate.write_bytes(bytes(2 if len(pieces) == 1 else 20))
    job = await last_job(real_store)
    assert job.answer is not None and "".join(pieces) == job.answer.text


async def test_who_stops_reading_cancels_the_job(url: str, real_store: Store) -> None:
    """Out of a loop, and by cancelling a task."""

    def first_piece() -> str:
        with Client(url) as client:
            return next(iter(client.ask(ENDLESS)))

    assert await asyncio.to_thread(first_piece)

    async def cancelled() -> bool:
        return (await last_job(real_store)).state is State.CANCELLED

    await eventually(cancelled, what="the job cancelled")
    first = await last_job(real_store)
    heard = asyncio.Event()

    async def hear(client: AsyncClient) -> None:
        async for _ in client.ask(ENDLESS):
            heard.set()

    async with AsyncClient(url) as client:
        reading = asyncio.create_task(hear(client))
        await heard.wait()
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        assert (await last_job(real_store)).id != first.id
        await eventually(cancelled, what="the second job cancelled")


async def test_another_answer_of_another_worker_is_an_error(url: str, fleet: Fleet, real_store: Store) -> None:
    """These workers write their process's number into each word. What nobody will read is cancelled."""
    text = ""
    async with AsyncClient(url) as client:
        with pytest.raises(EngineFault, match="Ask again"):
            async for piece in client.ask(ENDLESS):
                if not text:
                    fleet.kill("gpu0")
                    fleet.start("gpu0", module="tests.wordy")
                text += piece
    assert (await last_job(real_store)).state is State.CANCELLED
