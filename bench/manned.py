"""Ten workers on one stand-in engine, with their guards and Flower: the processes that `viiwork up` starts."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractContextManager, ExitStack, asynccontextmanager
from dataclasses import dataclass

import aiohttp
import psutil

from bench.answering import MODEL
from bench.attached import RECIPE
from bench.rig import Rig, Worker
from viiwork.errors import Unavailable
from viiwork.fleet.plan import FLOWER_USER, ProcessSpec, Role, plan
from viiwork.fleet.ports import settle_ports
from viiwork.guardrecord import read_records
from viiwork.settings import EngineSection, Settings
from viiwork.store import Store

WORKERS = 10
SLOTS = 16
CARDS = f"simulated:{WORKERS}xRadeonVII"
"""Each worker looks at its own, as at a real one."""
START_S = 120.0
POLL_S = 0.1
PASSWORD = "footprint"
"""Of a Flower that lives for two minutes, on this machine alone."""


@dataclass(frozen=True, slots=True)
class Manned:
    """A fleet in which every worker has a card's name, a guard and a ready engine."""

    store: Store
    started: list[Worker]
    workers: list[psutil.Process]
    guards: list[psutil.Process]
    flower: psutil.Process


@asynccontextmanager
async def manned(rig: Rig, engine_url: str) -> AsyncIterator[Manned]:
    """Up, and seen by Flower; all of it ends with the block."""
    settings = _settings(rig, engine_url)
    specs = plan(settings, environ=os.environ, flower_password=PASSWORD)
    store = rig.store()
    try:
        with ExitStack() as stack:
            flower, *_ = _start(rig, stack, specs, Role.FLOWER)
            workers = _start(rig, stack, specs, Role.ENGINE)
            stack.callback(_terminate, workers)
            await _until_all(lambda: _ready(store), [flower, *workers], what="are ready")
            await _seen(next(spec.address for spec in specs if spec.role is Role.FLOWER), flower)
            guards = [psutil.Process(record.guard[0]) for record in read_records(settings.state_dir).values()]
            processes = [worker.process for worker in workers]
            yield Manned(store, [flower, *workers], processes, guards, flower.process)
    finally:
        await store.close()


def _settings(rig: Rig, url: str) -> Settings:
    update = {
        "engine": EngineSection(kind=str(RECIPE), url=url, model=MODEL, slots=SLOTS, keep_s=0),
        "api": rig.settings.api.model_copy(update={"port": 0}),
        "flower": rig.settings.flower.model_copy(update={"enabled": True, "port": 0}),
        "workers": rig.settings.workers.model_copy(update={"gpus": WORKERS, "readers": 0}),
        "devices": rig.settings.devices.model_copy(update={"spec": CARDS}),
    }
    return settle_ports(rig.settings.model_copy(update=update))


def _start(rig: Rig, stack: ExitStack, specs: Sequence[ProcessSpec], role: Role) -> list[Worker]:
    wanted = [spec for spec in specs if spec.role is role]
    return [stack.enter_context(_started(rig, spec)) for spec in wanted]


def _started(rig: Rig, spec: ProcessSpec) -> AbstractContextManager[Worker]:
    return rig.worker(spec.name, list(spec.argv[1:]), settings=rig.settings, **spec.env)


def _terminate(workers: Sequence[Worker]) -> None:
    for worker in workers:
        worker.terminate()


async def _ready(store: Store) -> int:
    return sum(bool(one.card.limit) for one in (await store.fleet()).workers)


async def _seen(url: str, flower: Worker) -> None:
    login = aiohttp.BasicAuth(FLOWER_USER, PASSWORD)
    async with aiohttp.ClientSession(trust_env=False, auth=login) as session:
        await _until_all(lambda: _shown(session, url), [flower], what="are seen by Flower")


async def _shown(session: aiohttp.ClientSession, url: str) -> int:
    try:
        async with session.get(f"{url}/workers?json=1") as reply:
            told = await reply.json(content_type=None)
    except (aiohttp.ClientError, ValueError):  # it does not listen yet
        return 0
    return sum(bool(worker.get("status")) for worker in told["data"])


async def _until_all(count: Callable[[], Awaitable[int]], started: Sequence[Worker], *, what: str) -> None:
    """Raises Unavailable, or StartupError when one of them ends."""
    end = time.monotonic() + START_S
    while (there := await count()) < WORKERS:
        for worker in started:
            worker.check()
        if time.monotonic() > end:
            raise Unavailable(f"after {START_S:.0f} s only {there} of {WORKERS} workers {what}.")
        await asyncio.sleep(POLL_S)
