"""A worker of a second computer that no longer reaches the head's documents: it says so, and goes on by itself."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import httpx
import pytest

from tests.door import Door
from tests.ports import free_port
from tests.workers import Fleet, eventually, make_job
from viiwork.api.workertokens import WorkerTokens
from viiwork.jobs import Job, State
from viiwork.roster import WorkerCard
from viiwork.settings import Settings
from viiwork.store import Store
from viiwork.store.blobwire import BLOBS_PATH
from viiwork_workers.reach import LONGEST_S, pauses

BIG = "The lease ends at the end of the year. " * 500
"""Over 16 KiB: an input that lies in the head's blob directory."""


@dataclass
class Box2:
    """One real worker, with a state directory of its own, behind the head's API."""

    fleet: Fleet
    store: Store
    tokens: WorkerTokens
    token_file: Path
    url: str

    async def revoke(self) -> None:
        """The door looks once a second who may come in."""
        self.tokens.revoke("box2")
        headers = {"Authorization": f"Bearer {self.token_file.read_text()}"}
        async with httpx.AsyncClient(trust_env=False, headers=headers, timeout=60) as http:

            async def refused() -> bool:
                return (await http.get(f"{self.url}{BLOBS_PATH}")).status_code == 401

            await eventually(refused, what="the token opens nothing")

    async def card(self) -> WorkerCard:
        """What it last said of itself."""
        found: list[WorkerCard] = []

        async def one() -> bool:
            found[:] = [one.card for one in (await self.store.fleet()).workers]
            return len(found) == 1

        await eventually(one, what="one worker in the roster")
        return found[0]

    async def says(self, start: str, *, limit: int) -> None:
        """Wait until people are told so, and the worker takes so many."""

        async def told() -> bool:
            card = await self.card()
            return card.throttle.startswith(start) and bool(card.throttle) == bool(start) and card.limit == limit

        await eventually(told, what=start or "nothing holds it back")

    async def logs(self, text: str) -> None:
        async def logged() -> bool:
            return text in self.fleet.log("cpu0")

        await eventually(logged, what=text)

    async def done(self, *jobs: Job) -> None:
        for job in jobs:

            async def ended(job: Job = job) -> bool:
                return (await self.store.job(job.id)).state is State.SUCCEEDED

            await eventually(ended, what="the job has its answer")

    def went_back(self) -> int:
        return self.fleet.log("cpu0").count(" goes back: ")


@pytest.fixture
def door(settings: Settings) -> Iterator[Door]:
    with Door(settings, VIIWORK_API_PORT=str(free_port())) as made:
        yield made


@pytest.fixture
def box2(settings: Settings, real_store: Store, door: Door, tmp_path: Path) -> Iterator[Box2]:
    tokens, token_file = WorkerTokens(settings.state_dir), tmp_path / "token"
    token_file.write_text(tokens.create("box2"))
    there = settings.model_copy(
        update={
            "fleet": settings.fleet.model_copy(
                update={"role": "worker", "host": "box2", "state_dir": tmp_path / "box2" / "state"}
            ),
            "blobs": settings.blobs.model_copy(
                update={"url": door.url, "token": token_file.read_text(), "token_file": token_file}
            ),
        }
    )
    fleet = Fleet(there)
    fleet.start("cpu0")
    yield Box2(fleet, real_store, tokens, token_file, door.url)
    fleet.close()


async def test_a_worker_whose_token_is_revoked_takes_nothing_says_why_and_goes_on_with_the_next_token(
    box2: Box2,
) -> None:
    """Each job went back once, and not every two seconds; no process is started anew."""
    first, slots = make_job(text=BIG), 32
    await box2.store.submit([first])
    await box2.done(first)
    await box2.revoke()
    jobs = [make_job(text=BIG + str(number)) for number in range(3)]
    await box2.store.submit(jobs[:1])
    await box2.says("takes nothing: The API at http://127.0.0.1:", limit=0)
    assert (await box2.card()).throttle.endswith("does not take this host's worker token")
    await box2.store.submit([*jobs[1:], small := make_job()])
    await box2.logs("asked again in 8 s")
    assert box2.went_back() == 1
    states = [(await box2.store.job(job.id)).state for job in (*jobs, small)]
    assert set(states) <= {State.WAITING, State.QUEUED}
    pid = (await box2.card()).pid
    box2.token_file.write_text(box2.tokens.create("box2-again"))
    await box2.done(*jobs, small)
    await box2.says("", limit=slots)
    assert (await box2.card()).pid == pid
    log = box2.fleet.log("cpu0")
    assert "Traceback" not in log
    assert box2.token_file.read_text() not in log
    status = await box2.store.job(jobs[0].id)
    assert (status.strikes, [each.end for each in status.history]) == (0, ["given_back"])


async def test_where_the_api_is_away_small_jobs_go_on_and_large_ones_rest_until_it_is_back(
    box2: Box2, door: Door, settings: Settings
) -> None:
    """What rests is woken as soon as the API answers, and not when its pause is over."""
    await box2.done(*(await sent(box2, BIG)))
    assert door.end() == 0
    (large,) = await sent(box2, BIG + "again")
    await box2.says("large inputs wait: The API at http://127.0.0.1:", limit=32)
    await box2.done(*(await sent(box2, "small")))
    await box2.logs("asked again in 4 s")
    with Door(settings, VIIWORK_API_PORT=door.url.rpartition(":")[2]):
        await box2.done(large)
        await box2.says("", limit=32)
    assert box2.went_back() <= 3
    assert "Traceback" not in box2.fleet.log("cpu0")


async def sent(box2: Box2, text: str) -> list[Job]:
    job = make_job(text=text)
    await box2.store.submit([job])
    return [job]


def test_pauses_double_up_to_a_minute() -> None:
    """A head that is away for a night is asked once a minute."""
    assert list(islice(pauses(), 7)) == [2.0, 4.0, 8.0, 16.0, 32.0, LONGEST_S, LONGEST_S]
