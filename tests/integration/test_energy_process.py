"""What real workers on simulated cards say they used, held against what those cards drew."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

import pytest

from tests.workers import Fleet, eventually, ready
from viiwork.devices.kinds import card_kinds
from viiwork.devices.simulated import FOLDER
from viiwork.devices.simulated_files import CardFiles, CardRecord
from viiwork.devices.thermal import HOLDS_S, Standing, power_w
from viiwork.jobs import BatchStatus, Job, Lane, child_id, new_id
from viiwork.settings import Settings
from viiwork.store import Store
from viiwork.store.gauges import surveyed
from viiwork.store.meters import KINDS, by_tenant, by_worker
from viiwork.work import ChatInput, Message

(KIND,) = card_kinds("1xRadeonVII")
CARDS = (0, 1)
LOOK_S, BEAT_S = 1.0, 0.2
JOBS, TOKENS = 24, 220


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Two simulated cards, seven times as fast as real ones, at the pace of the worker's looks: one a second."""
    engine = {"kind": "simulated", "model": "sim", "slots": 8, "time_scale": 0.15}
    return settings.model_copy(
        update={
            "engine": settings.engine.model_copy(update=engine),
            "devices": settings.devices.model_copy(update={"spec": "simulated:2xRadeonVII"}),
        }
    )


class Witness:
    """Reads what the simulator wrote of each card; each record says since when it holds."""

    def __init__(self, state_dir: Path) -> None:
        self._files = [CardFiles(state_dir / FOLDER, f"gpu{card}") for card in CARDS]
        self.seen: list[list[CardRecord]] = [[] for _ in CARDS]

    async def watch(self) -> None:
        """Until it is cancelled."""
        while True:
            self.look()
            await asyncio.sleep(0.02)

    def look(self) -> None:
        for files, seen in zip(self._files, self.seen, strict=True):
            record = files.record()
            if record is not None and (not seen or record.at_s != seen[-1].at_s):
                seen.append(record)

    def looks(self) -> int:
        """How often the worker has looked at all cards."""
        return min(map(len, self.seen))

    def joules(self, first: int, last: int) -> float:
        """What the cards drew between two of those looks."""
        return sum(_drawn(seen[first : last + 1]) for seen in self.seen)


def _drawn(records: Sequence[CardRecord]) -> float:
    """The simulator's own formula; a record holds until the next, for each was written within its time."""
    steps = list(pairwise(records))
    assert all(after.at_s - record.at_s < HOLDS_S for record, after in steps)
    return sum(_watts(record) * (after.at_s - record.at_s) for record, after in steps)


def _watts(record: CardRecord) -> float:
    standing = Standing(record.load, record.cap_w or KIND.cap_w, record.fan, record.celsius)
    return power_w(KIND, standing, since_s=0.0)


@pytest.fixture
async def witness(settings: Settings) -> AsyncIterator[Witness]:
    found = Witness(settings.state_dir)
    watching = asyncio.create_task(found.watch())
    yield found
    watching.cancel()
    with suppress(asyncio.CancelledError):
        await watching


async def told_j(store: Store) -> float:
    """Everything that the workers have said."""
    sums = await by_worker(store)
    return sum(mj for kind in KINDS for mj in sums.get(kind, {}).values()) / 1000


async def account(store: Store, witness: Witness) -> tuple[int, float]:
    """The number of a look, and all that was used up to it as the store has it: several beats came after that look."""
    for _ in range(30):
        before = witness.looks()
        await asyncio.sleep(2.5 * BEAT_S)
        joules = await told_j(store)
        witness.look()
        if witness.looks() == before > 0:
            return before - 1, joules
    raise AssertionError("the worker looks without a pause")


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
    fleet.start("gpu0+gpu1")
    await ready(real_store, 1)

    async def looks() -> bool:
        return witness.looks() >= 2

    await eventually(looks, what="the worker looks at its cards")
    first, before_j = await account(real_store, witness)
    batch = await submit(real_store, JOBS)
    status = await done(real_store, batch)
    last, after_j = await account(real_store, witness)
    drawn_j = witness.joules(first, last)
    idle_j = KIND.idle_w * len(CARDS) * (witness.seen[0][last].at_s - witness.seen[0][first].at_s)
    assert drawn_j > 2 * idle_j, "the cards worked"
    assert after_j - before_j == pytest.approx(drawn_j, rel=0.01)
    jobs_j = [(await real_store.job(child_id(batch, str(n)))).energy_j for n in range(JOBS)]
    assert status.energy_unknown_jobs == 0
    assert sum(each or 0.0 for each in jobs_j) == pytest.approx(status.energy_j)
    assert min(each or 0.0 for each in jobs_j) > 0
    sums = await by_worker(real_store)
    assert sum(sums["jobs"].values()) / 1000 == pytest.approx(status.energy_j)
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

    async def busy() -> bool:
        workers = (await real_store.fleet()).workers
        return all(sum(worker.in_flight.values()) > 1 for worker in workers)

    await eventually(busy, what="both have jobs")
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
