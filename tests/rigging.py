"""A real `viiwork up` on simulated cards, for tests: how it is started, who serves what, what its cards draw."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

from tests.workers import ROOT, bare_environ, eventually, make_job
from viiwork.devices import open_devices
from viiwork.devices.simulated import SimulatedDevices
from viiwork.fleet.plan import settings_env
from viiwork.jobs import Job, Lane, State
from viiwork.power.control import NEAR_W
from viiwork.powerfile import PowerFile, read_power
from viiwork.roster import WorkerCard
from viiwork.settings import Settings
from viiwork.store import Store
from viiwork.work import ChatInput, Message


@contextmanager
def up(settings: Settings, *, until_ready: bool = True) -> Iterator[subprocess.Popen[bytes]]:
    """A real `viiwork up`, ended as a person would; what it says of trouble is in `up.err` of the state directory."""
    environ = bare_environ() | settings_env(settings)
    command = [sys.executable, "-m", "viiwork.cli", "up", "--json"]
    Path(settings.state_dir).mkdir(parents=True, exist_ok=True)
    out = subprocess.PIPE if until_ready else subprocess.DEVNULL
    with (Path(settings.state_dir) / "up.err").open("ab") as errors:
        running = subprocess.Popen(command, cwd=ROOT, env=environ, stdout=out, stderr=errors, start_new_session=True)
    try:
        if running.stdout is not None:
            assert running.stdout.readline().strip(), "`viiwork up` did not come up"
        yield running
    finally:
        running.terminate()
        running.communicate(timeout=90)


def cards_of(settings: Settings) -> SimulatedDevices:
    """The simulated cards that this fleet sees."""
    found = open_devices(settings.devices.spec, state_dir=settings.state_dir)
    assert isinstance(found, SimulatedDevices)
    return found


async def workers(store: Store) -> dict[str, WorkerCard]:
    """All of them, by `gpu0`."""
    return {worker.card.name.partition("@")[0]: worker.card for worker in (await store.fleet()).workers}


async def placed(store: Store) -> dict[str, str]:
    """Who serves what, of those whose engine runs."""
    return {name: card.model for name, card in (await workers(store)).items() if card.engine_state in ("", "ready")}


async def submit(
    store: Store, model: str, count: int, *, tokens: int, lanes: Sequence[Lane] = tuple(Lane)
) -> list[Job]:
    """So many chats for a model, in turns by lane: batches alone leave a quarter of the slots free."""
    asked = [
        ChatInput(messages=(Message(role="user", content=f"job {n}"),), max_output_tokens=tokens) for n in range(count)
    ]
    jobs = [make_job(model=model, lane=lanes[n % len(lanes)], input=work) for n, work in enumerate(asked)]
    await store.submit(jobs)
    return jobs


@asynccontextmanager
async def fed(store: Store, *models: str, tokens: int, many: int) -> AsyncIterator[list[Job]]:
    """Always more jobs than slots for each of the models, for as long as it takes; the jobs that were sent."""
    jobs: list[Job] = []

    async def feed() -> None:
        while True:
            queues = (await store.fleet()).queues
            for model in models:
                if sum(queue.waiting + queue.queued for queue in queues if queue.model == model) < many:
                    jobs.extend(await submit(store, model, many, tokens=tokens))
            await asyncio.sleep(0.1)

    feeding = asyncio.create_task(feed())
    try:
        yield jobs
    finally:
        feeding.cancel()
        with suppress(asyncio.CancelledError):
            await feeding


async def settled(store: Store) -> bool:
    """Whether no job is left."""
    return sum(q.waiting + q.queued + q.running for q in (await store.fleet()).queues) == 0


async def done_once(store: Store, jobs: Sequence[Job]) -> list[str]:
    """Each has its answer, nobody wrote it twice, none was charged; answers how their attempts before ended."""
    await eventually(lambda: settled(store), within_s=90, what="all jobs settled")
    told = [await store.job(job.id) for job in jobs]
    assert {job.state for job in told} == {State.SUCCEEDED}
    commits = await store.read([("HGET", f"{store.prefix}job:{job.id}", "commits") for job in jobs])
    assert set(commits) == {"1"}
    assert not any(job.strikes for job in told)
    return [attempt.end for job in told for attempt in job.history]


class Watts:
    """What all cards drew, by the period in force: whether that was too much at any moment of it."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._devices = cards_of(settings)
        self.told: dict[int, PowerFile] = {}
        self.over: dict[int, bool] = {}

    def look(self) -> None:
        """Once."""
        told = read_power(self._settings.state_dir)
        if told is None or told.room_w is None:
            return
        drawn_w = sum(self._devices.read(card).power_w or 0.0 for card in self._devices.found())
        self.told[told.period] = told
        self.over[told.period] = self.over.get(told.period, False) or drawn_w > told.room_w + NEAR_W

    @asynccontextmanager
    async def watched(self) -> AsyncIterator[None]:
        """All the while."""

        async def watch() -> None:
            while True:
                self.look()
                await asyncio.sleep(0.05)

        watching = asyncio.create_task(watch())
        try:
            yield
        finally:
            watching.cancel()
            with suppress(asyncio.CancelledError):
                await watching

    @property
    def longest(self) -> int:
        """How many periods in a row it was exceeded at most."""
        runs = {0: 0}
        for period in sorted(self.over):
            runs[period] = runs.get(period - 1, 0) + 1 if self.over[period] else 0
        return max(runs.values())
