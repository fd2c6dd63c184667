"""Real vLLM dies, hangs and is left by its worker, under a real worker on a real store. One engine for all of it.

It has two processes, as on cards: the HTTP server and the EngineCore.
"""

from __future__ import annotations

import json
import signal
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import psutil
import pytest

from tests.conftest import remove_keys
from tests.door import Door
from tests.kit.post import Post, Weight, kill, spoken, weigh
from tests.vllm.tiny import ALIAS, START_S, engine_section, write_two_process_recipe
from tests.workers import Fleet, make_job
from viiwork.jobs import Job, Lane, State
from viiwork.processes import identity
from viiwork.settings import Settings, load_settings
from viiwork.store import Store
from viiwork.store.opening import make_store
from viiwork.store.said import listen

pytestmark = pytest.mark.timeout(START_S * 4)
RESTARTS = 5
HANG_S = 12.0
MIB = 1 << 20
LONG, OTHERS = 1_500, 4
"""Tokens that take some seconds, in the company of so many others."""
Event = tuple[str, dict[str, Any]]
SEEN: dict[str, Any] = {}
"""What a test leaves for the last one: who weighed what at the start."""


@pytest.fixture(scope="module")
def told(redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    folder = tmp_path_factory.mktemp("crashes")
    kind = str(write_two_process_recipe(folder))
    return load_settings(
        {
            "fleet": {"name": "crashes", "state_dir": str(folder / "state")},
            "redis": {"url": redis_url, "prefix": "viiwork-test:crashes:"},
            "engine": engine_section(kind=kind, hang_s=HANG_S),
            "flower": {"enabled": False},
            "queue": {"beat_s": 0.2, "lease_ttl_s": 10.0, "hint_grace_s": 1.0, "drain_grace_s": 5.0},
        }
    )


@pytest.fixture(scope="module")
def running(told: Settings) -> Iterator[Fleet]:
    fleet = Fleet(told)
    fleet.start("cpu0", module="tests.paced")
    yield fleet
    fleet.close()


@pytest.fixture
async def post(running: Fleet, told: Settings) -> AsyncIterator[Post]:
    """The one worker, seen through this test's own connections."""
    store: Store = make_store(told, told.redis.url)
    yield Post(running, store, model=ALIAS, within_s=START_S)
    await store.close()


@pytest.fixture
async def reader(told: Settings) -> AsyncIterator[httpx.AsyncClient]:
    """Someone at the door, who knows it already: the first call beside a busy vLLM may take longer than an answer."""
    with Door(told) as door:
        async with httpx.AsyncClient(base_url=door.url, timeout=START_S, verify=False) as http:
            assert (await http.get("/health/ready")).is_success
            yield http


def engine_core(post: Post) -> int:
    """The process that holds the model."""
    (found,) = (pid for pid in post.people() if "EngineCore" in _title(pid))
    return found


def _title(pid: int) -> str:
    try:
        return " ".join(psutil.Process(pid).cmdline())
    except psutil.NoSuchProcess:
        return ""


async def heard(reader: httpx.AsyncClient, job: Job) -> AsyncIterator[Event]:
    """What a reader is told, to the end."""
    name = ""
    async with reader.stream("GET", f"/v1/jobs/{job.id}/events") as response:
        async for line in response.aiter_lines():
            if line.startswith("event: "):
                name = line.removeprefix("event: ")
            elif line.startswith("data: "):
                yield name, json.loads(line.removeprefix("data: "))


def text_of(events: list[Event]) -> str:
    """What a reader has that begins again at each restart."""
    text = ""
    for name, data in events:
        text = "" if name == "restart" else text + str(data["text"]) if name == "delta" else text
    return text


async def test_killed_in_mid_stream_the_job_is_done_by_the_next_life_and_no_text_is_doubled(
    post: Post, reader: httpx.AsyncClient
) -> None:
    """SIGKILL for the EngineCore: the reader is told to begin again, and ends with the answer letter for letter.

    Who heard nothing of the second attempt before its end is told the rest: both attempts write the same text.
    """
    ready = await post.card("ready")
    core = engine_core(post)
    SEEN["weights"] = [weigh(ready.pid), weigh(post.guard_pid())]
    SEEN["people"] = len(post.people())
    others = await post.submit(*(f"Number {number}: go on." for number in range(OTHERS)), tokens=LONG)
    job = make_job(model=ALIAS, lane=Lane.INTERACTIVE, input=spoken("Go on.", tokens=LONG, stream=True))
    await post.store.submit([job])
    await listen(post.store, job.id)
    events: list[Event] = []
    async for event in heard(reader, job):
        events.append(event)
        if event[0] == "delta" and [name for name, _ in events].count("delta") == 3:
            kill(core)
    status = await post.store.job(job.id)
    assert (status.state, status.attempt) == (State.SUCCEEDED, 2), status.history
    assert status.answer is not None
    assert text_of(events) == status.answer.text
    deltas = [data for name, data in events if name == "delta"]
    alone = deltas[-1]["attempt"] == 2 and all(data["attempt"] == 1 for data in deltas[:-1])
    restarts = [name for name, _ in events].count("restart")
    assert restarts == 1 or (alone and restarts == 0)
    assert await post.ended(others) == {"succeeded": OTHERS}


async def test_a_killed_worker_finds_the_same_engine_again(post: Post) -> None:
    """The model is not loaded a second time, and what the worker had in it is done."""
    before = await post.card("ready")
    jobs = await post.submit("Go on.", "And on.", tokens=LONG)
    await post.card("ready")
    post.fleet.kill("cpu0")
    post.start(module="tests.paced")
    after = await post.card("ready", but=before.pid)
    assert after.engine_pid == before.engine_pid
    assert await post.ended(jobs) == {"succeeded": 2}


async def test_stopped_it_is_found_to_hang(post: Post) -> None:
    """SIGSTOP for the EngineCore: the HTTP server goes on to say that it is well, and no token comes."""
    before = await post.card("ready")
    jobs = await post.submit("Go on.", "And on.", tokens=LONG)
    core = engine_core(post)
    kill(core, signal.SIGSTOP)
    assert await post.ended(jobs) == {"succeeded": 2}
    after = await post.card("ready", engine_but=before.engine_pid)
    assert after.engine_restarts == before.engine_restarts + 1
    assert identity(core) is None


async def test_five_restarts_leave_nothing_behind(post: Post) -> None:
    """No process, no port, no open file, and no memory that grows in guard and worker."""
    ready = await post.card("ready")
    ports = set()
    while ready.engine_restarts < RESTARTS:
        ports |= _ports(ready.engine_pid)
        kill(ready.engine_pid)  # the HTTP server: the EngineCore is left without a parent
        ready = await post.card("ready", engine_but=ready.engine_pid)
        assert await post.ended(await post.submit("Go on.", tokens=8)) == {"succeeded": 1}
    assert len(post.people()) == SEEN["people"]
    assert not (ports - _ports(ready.engine_pid)) & _listening(psutil.net_connections("tcp4"))
    worker, guard = SEEN["weights"]
    _has_not_grown(weigh(post.guard_pid()), since=guard)
    _has_not_grown(weigh(ready.pid), since=worker)


async def test_at_the_end_all_of_it_is_gone(post: Post) -> None:
    """The worker ends as it should, its guard with it, and vLLM with that."""
    people = [*post.people(), post.guard_pid()]
    assert len(people) > 2
    assert post.fleet.stop("cpu0") == 0
    post.close()
    assert [pid for pid in people if identity(pid) is not None] == []
    await remove_keys(post.store)


def _has_not_grown(now: Weight, *, since: Weight) -> None:
    assert now.rss_bytes < since.rss_bytes + 16 * MIB, (since, now)
    assert now.open_files <= since.open_files + 4, (since, now)


def _ports(pid: int) -> set[int]:
    return _listening(psutil.Process(pid).net_connections("tcp4"))


def _listening(connections: list[Any]) -> set[int]:
    return {at.laddr.port for at in connections if at.status == psutil.CONN_LISTEN}
