"""What real workers on simulated cards say they used, held against what those cards drew."""

from __future__ import annotations

import asyncio
import signal
from itertools import pairwise
from pathlib import Path

import pytest

from tests.workers import Fleet, eventually, ready
from viiwork.devices.kinds import card_kinds
from viiwork.devices.simulated import FOLDER
from viiwork.devices.simulated_files import CardRecord
from viiwork.devices.thermal import HOLDS_S, Standing, power_w
from viiwork.jobs import BatchStatus, Job, Lane, State, child_id, new_id
from viiwork.settings import Settings
from viiwork.store import Store
from viiwork.store.gauges import surveyed
from viiwork.store.meters import KINDS, by_tenant, by_worker
from viiwork.work import ChatInput, Message

(KIND,) = card_kinds("1xRadeonVII")
CARDS = (0, 1)
JOBS, TOKENS = 24, 220
TRIES = 3
"""A machine that stands still for longer than a load holds (5 s) has a batch measured anew."""


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Two simulated cards, seven times as fast as real ones; the worker looks once a second and beats more often."""
    engine = {"kind": "simulated", "model": "sim", "slots": 8, "time_scale": 0.15}
    return settings.model_copy(
        update={
            "engine": settings.engine.model_copy(update=engine),
            "devices": settings.devices.model_copy(update={"spec": "simulated:2xRadeonVII"}),
            "queue": settings.queue.model_copy(update={"beat_s": 0.1}),
        }
    )


class Witness:
    """Reads all that the simulator wrote of each card; each record says since when it holds."""

    def __init__(self, state_dir: Path) -> None:
        self._files = [state_dir / FOLDER / f"gpu{card}.all" for card in CARDS]
        self.seen: list[list[CardRecord]] = [[] for _ in CARDS]

    def look(self) -> None:
        for file, seen in zip(self._files, self.seen, strict=True):
            lines = file.read_text("utf-8").split("\n")[:-1] if file.exists() else []
            records = {record.at_s: record for record in map(CardRecord.model_validate_json, lines)}
            seen[:] = records.values()

    def looks(self) -> int:
        """How often the worker has looked at all cards."""
        self.look()
        return min(map(len, self.seen))

    def unbroken(self, first: int, last: int) -> bool:
        """Whether each record was followed by the next while it held."""
        return all(after.at_s - record.at_s < HOLDS_S for steps in self._steps(first, last) for record, after in steps)

    def joules(self, first: int, last: int) -> float:
        """What the cards drew between two of those looks, by the simulator's own formula."""
        steps = [step for steps in self._steps(first, last) for step in steps]
        return sum(_watts(record) * (after.at_s - record.at_s) for record, after in steps)

    def _steps(self, first: int, last: int) -> list[list[tuple[CardRecord, CardRecord]]]:
        return [list(pairwise(seen[first : last + 1])) for seen in self.seen]


def _watts(record: CardRecord) -> float:
    standing = Standing(record.load, record.cap_w or KIND.cap_w, record.fan, record.celsius)
    return power_w(KIND, standing, since_s=0.0)


@pytest.fixture
def witness(settings: Settings) -> Witness:
    return Witness(settings.state_dir)


async def told_j(store: Store) -> float:
    """Everything that the workers have said."""
    sums = await by_worker(store)
    return sum(mj for kind in KINDS for mj in sums.get(kind, {}).values()) / 1000


async def account(store: Store, witness: Witness) -> tuple[int, float]:
    """The number of a look, and all that a worker at rest had used up to it, as the store has it.

    A job that ends between two looks is charged up to its end: what is told is of a look again after the next one.
    """
    while True:
        before = witness.looks()
        while (now := witness.looks()) == before:
            await asyncio.sleep(0.02)
        await beaten(store, times=3)
        joules = await told_j(store)
        if witness.looks() == now:
            return now - 1, joules


async def beaten(store: Store, *, times: int) -> None:
    """Wait until the one worker has said so often again that it lives."""
    (life,) = await store.client.zrange(f"{store.prefix}incs", 0, -1)
    for _ in range(times):
        last = await store.client.zscore(f"{store.prefix}incs", life)
        while await store.client.zscore(f"{store.prefix}incs", life) == last:
            await asyncio.sleep(0.005)


async def submit(store: Store, count: int) -> str:
    """A batch of jobs of different lengths, so that they come and go."""
    batch = new_id("an")
    await store.open_batch(id=batch, tenant="anna@lab", lane=Lane.BATCH, model="sim", task="jobs", total=count)
    jobs = [_job(batch, number) for number in range(count)]
    await store.submit(jobs)
    await store.seal(batch)
    return batch


def _job(batch: str, number: int) -> Job:
    message = Message(role="user", content=f"job {number}")
    work = ChatInput(messages=(message,), max_output_tokens=TOKENS + 30 * (number % 5))
    tokens = work.max_output_tokens
    return Job(
        id=child_id(batch, str(number)),
        tenant="anna@lab",
        lane=Lane.BATCH,
        model="sim",
        input=work,
        batch=batch,
        prompt_tokens=10,
        max_output_tokens=tokens,
    )


async def done(store: Store, batch: str) -> BatchStatus:
    async def finished() -> bool:
        return (await store.batch(batch)).finished

    await eventually(finished, within_s=60, what="the batch has ended")
    return await store.batch(batch)


async def test_a_batch_and_idle_time_together_are_what_the_cards_drew(
    fleet: Fleet, real_store: Store, witness: Witness
) -> None:
    """Of a worker with two cards, over a rest, a batch whose jobs come and go, and another rest."""
    fleet.start("gpu0+gpu1", module="tests.witnessed")
    await ready(real_store, 1)

    async def looks() -> bool:
        return witness.looks() >= 2

    await eventually(looks, what="the worker looks at its cards")
    earlier_j = 0.0
    for _ in range(TRIES):
        first, before_j = await account(real_store, witness)
        batch = await submit(real_store, JOBS)
        status = await done(real_store, batch)
        last, after_j = await account(real_store, witness)
        if witness.unbroken(first, last):
            break
        earlier_j += status.energy_j or 0.0
    drawn_j = witness.joules(first, last)
    idle_j = KIND.idle_w * len(CARDS) * (witness.seen[0][last].at_s - witness.seen[0][first].at_s)
    assert drawn_j > 2 * idle_j, "the cards worked"
    assert after_j - before_j == pytest.approx(drawn_j, rel=0.01)
    jobs_j = [(await real_store.job(child_id(batch, str(n)))).energy_j for n in range(JOBS)]
    assert status.energy_unknown_jobs == 0
    assert sum(each or 0.0 for each in jobs_j) == pytest.approx(status.energy_j)
    assert min(each or 0.0 for each in jobs_j) > 0
    sums = await by_worker(real_store)
    assert sum(sums["jobs"].values()) / 1000 == pytest.approx(earlier_j + (status.energy_j or 0.0))
    assert status.energy_simulated, "nobody may take it for a real card's"
    shown = await surveyed(real_store, await real_store.fleet())
    assert shown.energy is not None
    assert shown.energy.energy_simulated
    assert all(load.energy_simulated for load in shown.tenants)
    assert "lost" not in sums
    assert "unknown" not in sums


async def test_the_jobs_of_a_killed_worker_are_counted_once_and_as_not_wholly_known(
    fleet: Fleet, real_store: Store, settings: Settings
) -> None:
    """What it had measured of them died with it."""
    fleet.start("gpu0", "gpu1")
    await ready(real_store, 2)
    batch = await submit(real_store, JOBS)

    async def caught() -> bool:
        """Whether the one that is killed had jobs when it was stopped."""
        fleet.processes["gpu0"].send_signal(signal.SIGSTOP)
        jobs = [await real_store.job(child_id(batch, str(n))) for n in range(JOBS)]
        if any(job.state is State.RUNNING and job.worker.startswith("gpu0@") for job in jobs):
            return True
        fleet.processes["gpu0"].send_signal(signal.SIGCONT)
        return False

    await eventually(caught, what="it has jobs")
    fleet.kill("gpu0")
    status = await done(real_store, batch)
    jobs = [await real_store.job(child_id(batch, str(n))) for n in range(JOBS)]
    lost = [job for job in jobs if job.history]
    assert lost, "some were in the worker that was killed"
    assert {job.energy_unknown_jobs for job in lost} == {1}
    assert status.energy_unknown_jobs == len(lost)
    assert all(job.energy_j for job in jobs)
    assert status.counts.succeeded == JOBS
    assert status.energy_j == pytest.approx(sum(job.energy_j or 0.0 for job in jobs))
    rows = [row async for row in real_store.rows(batch)]
    assert status.energy_j == pytest.approx(sum(row.energy_j or 0.0 for row in rows))
    sums, tenants = await by_worker(real_store), await by_tenant(real_store)
    assert sum(sums["jobs"].values()) / 1000 == pytest.approx(status.energy_j)
    assert tenants == {"jobs": {"anna@lab": round((status.energy_j or 0) * 1000)}, "unknown": {"anna@lab": len(lost)}}
