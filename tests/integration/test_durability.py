"""What each setting of the append-only file is worth, asked of a real server."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from tests.workers import make_job
from viiwork.jobs import Job, State
from viiwork.settings import Settings, load_settings
from viiwork.statedir import StateDir
from viiwork.store import Store, embedded, open_store


@pytest.fixture
def own(tmp_path: Path) -> Settings:
    """A fleet on an embedded server of its own."""
    return load_settings({"fleet": {"state_dir": str(tmp_path / "state")}, "redis": {"url": "embedded"}})


@pytest.fixture
async def store(own: Settings) -> AsyncIterator[Store]:
    embedded.start(own)
    made = await open_store(own)
    yield made
    await made.close()
    embedded.end_server(StateDir(own.state_dir))


async def test_without_an_append_only_file_nothing_is_confirmed(store: Store) -> None:
    """And that is said."""
    await store.client.config_set("appendonly", "no")
    await store.submit([make_job()])
    told = await store.confirm()
    assert not told.synced
    assert "power cut" in told.notice


async def test_with_always_all_is_on_disk_when_it_is_answered(store: Store) -> None:
    """The server itself says so, without waiting: of every write in a row."""
    if "waitaof" not in await store.client.command_list():
        pytest.skip("this server has no WAITAOF to ask")
    await store.client.config_set("appendfsync", "always")
    for n in range(50):
        commands = [("SET", f"{store.prefix}n", str(n)), ("WAITAOF", "1", "0", "1")]
        _, synced = await store.read(commands)
        assert int(synced[0]) == 1


async def test_a_killed_server_has_all_that_was_confirmed(store: Store, own: Settings) -> None:
    """However slow its disk was."""
    jobs = [make_job() for _ in range(200)]
    await store.submit(jobs)
    while not (await store.confirm()).synced:
        assert "waitaof" in await store.client.command_list()
    assert await killed(store, own, jobs) <= {State.WAITING, State.QUEUED}


async def test_a_killed_server_that_waits_for_no_disk_has_all_that_it_answered(store: Store, own: Settings) -> None:
    """Also what was not synced: it had left the process. With `everysec` a sync under way may hold it back."""
    await store.client.config_set("appendfsync", "no")
    jobs = [make_job() for _ in range(200)]
    await store.submit(jobs)
    assert await killed(store, own, jobs) <= {State.WAITING, State.QUEUED}


async def killed(store: Store, own: Settings, jobs: Sequence[Job]) -> set[State | None]:
    """What a server that was killed and started again knows of jobs; None for one that it has lost."""
    server = embedded.running(StateDir(own.state_dir))
    assert server is not None
    os.kill(server.record.pid, signal.SIGKILL)
    await store.client.connection_pool.disconnect()
    embedded.start(own)
    records = await store.read(("HGET", f"{store.prefix}job:{job.id}", "state") for job in jobs)
    return {State(state) if state else None for state in records}
