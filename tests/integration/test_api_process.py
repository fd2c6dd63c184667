"""The HTTP door as a process of its own, on a real server."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest

from tests.door import Door
from viiwork.client import Client
from viiwork.errors import Unavailable
from viiwork.jobs import BatchState
from viiwork.multipart import TextDocument
from viiwork.roster import WorkerCard
from viiwork.settings import Settings
from viiwork.store import embedded, open_store
from viiwork.store.upkeep import Upkeep

MODEL = "standin"


@pytest.fixture
async def settings(tmp_path: Path) -> AsyncIterator[Settings]:
    """A fleet of its own: on an embedded server, or under a prefix of its own on VIIWORK_REDIS_URL's."""
    made = Settings(fleet={"name": "door", "state_dir": tmp_path}, redis=redis_section())
    server = embedded.start(made) if made.redis.url == "embedded" else None
    try:
        yield made
    finally:
        if server is not None:
            server.stop()
        else:
            await remove_keys(made)


async def remove_keys(settings: Settings) -> None:
    """Leave nothing behind on somebody's server."""
    store = await open_store(settings)
    async for key in store.client.scan_iter(match=f"{settings.prefix}*", count=1000):
        await store.client.delete(key)
    await store.close()


def redis_section() -> dict[str, str]:
    url = os.environ.get("VIIWORK_REDIS_URL", "embedded")
    return {"url": url, "prefix": f"viiwork:test:{os.getpid()}:{time.monotonic_ns()}:"}


async def join(settings: Settings) -> None:
    """Let the fleet know a worker that serves MODEL; nothing is ever run on it."""
    card = WorkerCard(name="cpu0@test", incarnation="one", host="test", pid=1, engine="stand-in", model=MODEL, slots=1)
    store = await open_store(settings)
    await Upkeep(store, lease_ttl_s=60, hint_grace_s=5).beat(card, queues=[f"batch.{MODEL}"], in_flight={}, held=[])
    await store.close()


async def test_work_survives_the_door(settings: Settings) -> None:
    """What one process took in, the next one knows; SIGTERM ends either with exit code 0 and without a trace."""
    await join(settings)
    with Door(settings) as first, Client(first.url) as client:
        started = client.analyze([TextDocument("one"), TextDocument("two")], task="summarize")
        assert first.end() == 0
    with Door(settings) as second, Client(second.url) as client:
        assert client.analysis(started.id).counts.total == 2
        cancelled = client.cancel_analysis(started.id)
        assert (cancelled.state, cancelled.counts.cancelled) == (BatchState.CANCELLED, 2)
        assert [row.state for row in client.results(started.id)] == ["cancelled", "cancelled"]
        assert second.end() == 0
        assert "Traceback" not in first.log.read_text() + second.log.read_text()


async def test_an_upload_streams_through(settings: Settings, tmp_path: Path) -> None:
    """A file far larger than what the process may grow by; nothing goes to the temp directory."""
    await join(settings)
    big = tmp_path / "big.bin"
    with big.open("wb") as file:
        file.truncate(200 * 1024 * 1024)
    temp = tmp_path / "temp"
    temp.mkdir()
    with Door(settings, TMPDIR=str(temp)) as door, Client(door.url) as client:
        client.fleet()
        before_bytes = psutil.Process(door.process.pid).memory_info().rss
        status = client.analyze([big], task="summarize")
        grown_bytes = psutil.Process(door.process.pid).memory_info().rss - before_bytes
        assert (status.counts.total, grown_bytes < 50 * 1024 * 1024) == (1, True), grown_bytes
        client.cancel_analysis(status.id)
        assert list(temp.iterdir()) == []


def test_a_taken_port_is_one_line_and_exit_code_2(settings: Settings) -> None:
    """It names host and port."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with Door(settings, VIIWORK_API_PORT=str(port)) as door:
            assert door.process.wait(60) == 2
            said = door.log.read_text()
    assert f"127.0.0.1:{port}: address already in use" in said
    assert len(said.splitlines()) == 1


@pytest.mark.parametrize("url", ["redis://127.0.0.1:1/0", "embedded"])
def test_no_redis_is_one_line_and_exit_code_3(tmp_path: Path, url: str) -> None:
    """Neither one that refuses nor a fleet that is not up."""
    nowhere = Settings(fleet={"name": "door", "state_dir": tmp_path}, redis={"url": url})
    with Door(nowhere) as door:
        assert door.process.wait(60) == 3
        said = [line for line in door.log.read_text().splitlines() if "listening" not in line]
    assert len(said) == 1, said


async def test_redis_going_away_is_503_not_a_crash(tmp_path: Path) -> None:
    """And once it is back, so is the door."""
    settings = Settings(fleet={"name": "door", "state_dir": tmp_path}, redis={"url": "embedded"})
    server = embedded.start(settings)
    try:
        with Door(settings) as door, Client(door.url, retries=0, away_patience_s=0) as client:
            client.fleet()
            server.stop()
            with pytest.raises(Unavailable):
                client.fleet()
            server = embedded.start(settings)
            assert client.fleet().fleet == "door"
            assert "Traceback" not in door.log.read_text()
    finally:
        server.stop()
