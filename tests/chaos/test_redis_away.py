"""Redis away for a while: a worker that is told to stop then stops, and one that is not goes on when it is back."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.workers import Fleet, eventually, make_job, ready
from viiwork.jobs import State
from viiwork.settings import Settings, load_settings
from viiwork.store import Store, embedded
from viiwork.store.opening import make_store


class Server:
    """A server that can be killed and comes back at the same address with its data."""

    def __init__(self, place: Path) -> None:
        self._settings = load_settings({"fleet": {"state_dir": str(place)}})
        self._running = embedded.start(self._settings)
        self.url = self._running.url

    def kill(self) -> None:
        os.kill(self._running.record.pid, signal.SIGKILL)

    def start(self) -> None:
        self._running = embedded.start(self._settings)

    def stop(self) -> None:
        self._running.stop()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    server = Server(tmp_path / "server")
    yield server
    server.stop()


@pytest.fixture
def settings(settings: Settings, server: Server) -> Settings:
    return settings.model_copy(update={"redis": settings.redis.model_copy(update={"url": server.url})})


@pytest.fixture
async def store(settings: Settings) -> AsyncIterator[Store]:
    store = make_store(settings, settings.redis.url)
    yield store
    await store.close()


async def noticed(fleet: Fleet) -> bool:
    return "a beat was missed" in fleet.log("gpu0")


async def test_a_worker_goes_on_when_redis_is_back(fleet: Fleet, store: Store, server: Server) -> None:
    """Under the same lease, since nobody may be called dead for what happened to Redis."""
    fleet.start("gpu0")
    await ready(store, 1)
    server.kill()
    await eventually(lambda: noticed(fleet), what="the worker has noticed")
    await asyncio.sleep(3.0)  # longer than a lease of these tests
    server.start()
    job = make_job()
    await store.submit([job])

    async def done() -> bool:
        return (await store.job(job.id)).state is State.SUCCEEDED

    await eventually(done, within_s=60, what="the job is done")
    assert fleet.stop("gpu0") == 0


async def test_a_worker_that_is_told_to_stop_while_redis_is_away_stops(
    fleet: Fleet, store: Store, server: Server
) -> None:
    """It has nothing in hand; nobody waits for a server."""
    fleet.start("gpu0")
    await ready(store, 1)
    server.kill()
    await eventually(lambda: noticed(fleet), what="the worker has noticed")
    code = await asyncio.to_thread(fleet.stop, "gpu0")
    server.start()
    assert code == 0


async def test_jobs_in_hand_when_redis_is_away_and_the_worker_stops_are_done_by_the_next(
    fleet: Fleet, store: Store, server: Server, settings: Settings
) -> None:
    """It cannot give them back: they are taken back when its lease is over, and nobody is blamed for long."""
    engine = {"kind": "simulated", "model": "sim", "slots": 8, "time_scale": 0.05}
    slow = settings.model_copy(update={"engine": settings.engine.model_copy(update=engine)})
    fleet.start("gpu0", settings=slow)
    await ready(store, 1)
    jobs = [make_job(model="sim", text="word " * 2_500) for _ in range(8)]
    await store.submit(jobs)
    while not (await store.confirm()).synced:  # on a slow disk a killed server may lose the rest
        pass

    async def running() -> bool:
        return sum(queue.running for queue in (await store.fleet()).queues) > 0

    await eventually(running, what="jobs running")
    server.kill()
    await eventually(lambda: noticed(fleet), what="the worker has noticed")
    process = fleet.processes.pop("gpu0")
    process.send_signal(signal.SIGTERM)
    process.send_signal(signal.SIGTERM)
    code = await asyncio.to_thread(process.wait, 60)
    server.start()
    fleet.start("gpu1", settings=slow)

    async def done() -> bool:
        return all([(await store.job(job.id)).state is State.SUCCEEDED for job in jobs])

    await eventually(done, within_s=90, what="the next worker has done them all")
    assert code == 0
