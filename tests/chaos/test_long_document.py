"""A worker is killed while a long document is analysed: what it had in its hands is done again, and nothing else."""

from __future__ import annotations

import asyncio
import random
import signal
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

import pytest

from tests.chaos.doomed import COUNT, JOB, STEP
from tests.chaos.server import Server
from tests.chaos.stage import MODEL, Stage, stage_settings
from tests.workers import eventually
from viiwork.api.work import Item, Order, reading
from viiwork.jobs import Lane, Row, State, new_id
from viiwork.store import Store
from viiwork.store.opening import make_store
from viiwork.work import AnalysisTask, TaskOptions

WORDS = ("tenant", "lease", "deposit", "notice", "water", "meter", "report", "value", "boiler", "contract", "clause")
LOT = random.Random(400)
TEXT = "\n\n".join(" ".join([*LOT.choices(WORDS, k=60), "end."]) for _ in range(1000))
"""Long enough for several parts."""
SLOTS = 4
TIMEOUT_S = 600.0
CARDS = ("gpu0", "gpu1")


@dataclass(frozen=True, slots=True)
class Done:
    """An analysis of the document that has ended: its row, and of each step how often it was begun, and its lane."""

    row: Row
    attempts: dict[str, int]
    lanes: set[str]

    @property
    def parts(self) -> set[str]:
        return {step for step in self.attempts if step.startswith("l0p")}

    @property
    def again(self) -> set[str]:
        """The steps that were begun more than once."""
        return {step for step, attempts in self.attempts.items() if attempts > 1}


class Desk:
    """Sends the document in, and sees what comes of it."""

    def __init__(self, stage: Stage, store: Store) -> None:
        self.stage, self.store = stage, store
        self.batch = self.doomed = ""

    async def begin(self, *names: str) -> None:
        """Start workers, and wait for them: what they serve cuts the document."""
        self.stage.start(*names)
        await self.stage.joined(*names)

    async def clear(self) -> None:
        """End all workers, by SIGKILL."""
        left = {name: process.pid for name, process in self.stage.fleet.processes.items()}
        self.stage.fleet.kill(*left)
        for pid in left.values():
            await self.stage.reap(pid)
        # workers of these names have died so often that the fleet would quarantine them, and the next test wait in vain
        await self.store.client.delete(*(f"{self.store.prefix}{key}" for key in ("against", "quarantine")))

    async def send(self, *, lane: Lane = Lane.BATCH) -> None:
        """Under a submitter of its own: what was read once is not read again for the same one."""
        self.batch = new_id("an")
        tenant, task, item = f"anna-{self.batch}", AnalysisTask.SUMMARIZE, Item(name="long.txt", text=TEXT)
        order = Order(task=task, options=TaskOptions(), lane=lane, model=MODEL, asked_model=None, items=[item])
        await self.store.open_batch(id=self.batch, tenant=tenant, lane=lane, model=MODEL, task=task.value, total=1)
        await self.store.submit([reading(self.batch, order, 0, item, tenant=tenant, timeout_s=TIMEOUT_S)])
        await self.store.seal(self.batch)

    async def done(self) -> Done:
        """Once it has ended."""

        async def ended() -> bool:
            return (await self.store.batch(self.batch)).finished

        await eventually(ended, within_s=120, what="the end of the analysis")
        [row] = [row async for row in self.store.rows(self.batch)]
        (ids,) = await self.store.read([("LRANGE", f"{self.store.prefix}batch:{self.batch}:jobs", "0", "-1")])
        fields = ("attempt", "lane")
        told = await self.store.read([("HMGET", f"{self.store.prefix}job:{job}", *fields) for job in ids])
        attempts = {step_of(job): int(attempt) for job, (attempt, _) in zip(ids, told, strict=True)}
        return Done(row, attempts, {lane for _, lane in told})

    async def replaced(self, doomed: str, by: str) -> set[str]:
        """Once the doomed worker has killed itself and another is started: the steps that it had in its hands."""
        process = self.stage.fleet.processes[doomed]
        assert await asyncio.to_thread(self.stage.fleet.bury, doomed) == -signal.SIGKILL
        held = await self.stage.held(self.doomed)
        await self.stage.reap(process.pid)
        self.stage.start(by)
        return {step_of(job) for job in held}

    async def doom(self, name: str, *, step: str, job: str = "", count: int = 1) -> None:
        """Start a worker that kills itself (SIGKILL) at this step of such a job, the so-manieth time."""
        environ = {STEP: step, JOB: job, COUNT: str(count)}
        self.stage.start(name, module="tests.chaos.doomed", environ=environ)
        await self.stage.joined(name)
        self.doomed = await self.stage.incarnation(name)


def step_of(job: str) -> str:
    """`an_…-0l1p0` → `l1p0`; the reading itself is `read`."""
    return job.rpartition("-")[2].removeprefix("0") or "read"


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """A server of its own, and the leases that fleets have: only what is killed loses its jobs."""
    settings = stage_settings(tmp_path_factory.mktemp("long"), slots=SLOTS, time_scale=0.02)
    made = Stage(Server(settings), names=CARDS)
    yield made
    made.close()


@pytest.fixture
async def desk(stage: Stage) -> AsyncIterator[Desk]:
    """With no worker yet; those of a test are gone when it ends."""
    stage.store = make_store(stage.settings, stage.server.url)
    made = Desk(stage, stage.store)
    yield made
    await made.clear()
    await stage.store.close()


@pytest.fixture(scope="module")
def kept() -> list[Done]:
    """What `undisturbed` has found out once."""
    return []


@pytest.fixture
async def undisturbed(desk: Desk, kept: list[Done]) -> Done:
    """What comes of the document when nobody is killed and a person waits for it."""
    if not kept:
        await desk.begin("reader0", *CARDS)
        await desk.send(lane=Lane.INTERACTIVE)
        kept.append(await desk.done())
        await desk.clear()
    return kept[0]


async def test_for_a_person_all_steps_go_through_the_interactive_lane(undisturbed: Done) -> None:
    """Reading, parts and merges; and each is begun once."""
    assert undisturbed.row.state is State.SUCCEEDED
    assert (undisturbed.lanes, undisturbed.again) == ({"interactive"}, set())
    assert len(undisturbed.parts) > 2 * SLOTS
    assert set(undisturbed.attempts) - undisturbed.parts == {"read", "m0", "l1p0", "m1"}


async def test_a_card_killed_among_the_parts_has_those_in_flight_done_again_and_no_other(
    desk: Desk, undisturbed: Done
) -> None:
    """Counted: what was finished is not asked again, and the answer is the same."""
    await desk.begin("reader0", "gpu1")
    await desk.doom("gpu0", step="commit:before", count=2)
    await desk.send()
    held = await desk.replaced("gpu0", by="gpu2")
    done = await desk.done()
    assert 0 < len(held) <= SLOTS
    assert held < done.parts
    assert done.again == held
    assert all(done.attempts[step] == 2 for step in held)
    same(done, undisturbed)


@pytest.mark.parametrize(
    ("worker", "step", "job", "again"),
    [
        ("reader0", "commit:before", "-0", {"read"}),
        ("reader0", "commit:before", "m0", {"m0"}),
        ("gpu0", "claim:after", "l1p0", {"l1p0"}),
    ],
    ids=["unfolding", "over the merge", "over the merging call"],
)
async def test_a_worker_killed_over_the_tree_has_that_step_done_again_and_no_part(
    desk: Desk, undisturbed: Done, worker: str, step: str, job: str, again: set[str]
) -> None:
    """Its parts were submitted by then, or answered: they are there, under the same names."""
    await desk.begin(*{"reader0", "gpu0"} - {worker})
    await desk.doom(worker, step=step, job=job)
    await desk.send()
    held = await desk.replaced(worker, by=f"{worker[:-1]}1")
    done = await desk.done()
    assert held == again
    assert done.again == again
    same(done, undisturbed)


def same(done: Done, undisturbed: Done) -> None:
    """The answer, and the steps that it took."""
    assert done.row.state is State.SUCCEEDED
    assert (done.row.answer, set(done.attempts)) == (undisturbed.row.answer, set(undisturbed.attempts))
