"""A fleet backed up in mid-batch, killed altogether, and restored elsewhere: every job ends exactly once."""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hands import Hands, sealed_batch
from tests.workers import Fleet, eventually, make_job, ready
from viiwork.jobs import State
from viiwork.settings import Settings, load_settings
from viiwork.statedir import StateDir
from viiwork.store import Store, embedded
from viiwork.store.backup import back_up
from viiwork.store.embedded import RunningServer
from viiwork.store.leases import Verdict
from viiwork.store.opening import open_store
from viiwork.store.restore import restore
from viiwork.work import Answer

pytestmark = pytest.mark.slow

JOBS = 400
LONG_ANSWER = "a long answer " * 3000
LONG_QUESTION = "a long question " * 1100


def settings_in(root: Path, name: str) -> Settings:
    """A fleet on an embedded server of its own; a card two hundred times as fast as a real one."""
    return load_settings(
        {
            "fleet": {"name": name, "state_dir": str(root / name)},
            "redis": {"url": "embedded"},
            "engine": {"kind": "simulated", "model": "sim", "slots": 8, "time_scale": 0.005},
            "queue": {"beat_s": 0.2, "lease_ttl_s": 2.0, "hint_grace_s": 1.0, "drain_grace_s": 5.0},
        }
    )


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Box]:
    """Two places for fleets; whatever still runs there is ended."""
    made = Box(tmp_path)
    yield made
    made.close()


class Box:
    """The fleet that will be lost, and the one that takes its place."""

    def __init__(self, root: Path) -> None:
        self.old, self.new = settings_in(root, "old"), settings_in(root, "new")
        self._fleets: list[Fleet] = []

    def start(self, settings: Settings, *workers: str) -> tuple[RunningServer, Fleet]:
        server = embedded.start(settings)
        fleet = Fleet(settings)
        self._fleets.append(fleet)
        fleet.start(*workers)
        return server, fleet

    def lose(self, server: RunningServer, fleet: Fleet) -> None:
        """SIGKILL for everything."""
        os.kill(server.record.pid, signal.SIGKILL)
        for name in list(fleet.processes):
            fleet.kill(name)

    def close(self) -> None:
        for fleet in self._fleets:
            fleet.close()
        for settings in (self.old, self.new):
            if settings.state_dir.is_dir():
                embedded.end_server(StateDir(settings.state_dir))


async def answered_by_hand(store: Store, count: int) -> list[str]:
    """Jobs that are done, with answers too large for Redis."""
    await store.submit([make_job(model="hand") for _ in range(count)])
    hands, done = Hands(store, model="hand"), []
    await hands.beat()
    for _ in range(count):
        fence = (await hands.take()).fence
        await hands.commit(fence, Verdict.SUCCEEDED, Answer(text=LONG_ANSWER + fence.job))
        await store.release("batch.hand")
        done.append(fence.job)
    return done


async def test_every_job_of_a_lost_fleet_ends_exactly_once_in_the_restored_one(box: Box, tmp_path: Path) -> None:
    """Real workers, a backup while they work, everything killed, a restore into a new place, new workers."""
    file = tmp_path / "fleet.tar.gz"
    server, fleet = box.start(box.old, "gpu0", "gpu1")
    store = await open_store(box.old)
    await ready(store, 2)  # before the hand has joined, which beats once only and may be given up
    by_hand = await answered_by_hand(store, 5)
    batch = await sealed_batch(store, JOBS, model="sim", text=LONG_QUESTION)

    async def under_way() -> bool:
        return (await store.batch(batch)).counts.succeeded >= JOBS // 10

    await eventually(under_way, what="a tenth of the batch")
    await back_up(store, file, url=server.url)
    at_least = (await store.batch(batch)).counts.succeeded
    assert at_least < JOBS, "the batch was over before the backup was"
    await store.close()
    box.lose(server, fleet)

    restored = await restore(box.new, file)
    assert restored.missing == 0
    assert restored.given_back > 0, "nothing ran at the moment of the backup"

    box.start(box.new, "gpu0", "gpu1")
    store = await open_store(box.new)
    try:
        already = (await store.batch(batch)).counts.succeeded
        assert 0 < already <= at_least

        async def over() -> bool:
            return (await store.batch(batch)).finished

        await eventually(over, within_s=90, what="the end of the restored batch")
        await check(store, batch, by_hand)
    finally:
        await store.close()


async def check(store: Store, batch: str, by_hand: list[str]) -> None:
    """Each job has one end, one accepted commit and one row; large answers can be read."""
    ids = [f"{batch}-{n}" for n in range(JOBS)]
    records = await store.read(("HMGET", f"{store.prefix}job:{job}", "state", "commits", "strikes") for job in ids)
    assert Counter((state, commits) for state, commits, _ in records) == {("succeeded", "1"): JOBS}
    assert {strikes or "0" for _, _, strikes in records} == {"0"}, "a job was charged for the backup"
    rows = [row async for row in store.rows(batch)]
    assert sorted(row.index for row in rows) == list(range(JOBS))
    assert (await store.batch(batch)).counts.succeeded == JOBS
    for job in by_hand:
        status = await store.job(job)
        assert status.state is State.SUCCEEDED
        assert status.answer is not None
        assert status.answer.text == LONG_ANSWER + job
