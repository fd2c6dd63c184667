"""What goes wrong with an engine, through a real worker, its guard and the store: no job is lost, none doubled."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from tests.fakes.launching import ALIAS, engine_section
from tests.kit.post import Post, kill, weigh
from tests.workers import Fleet, eventually
from viiwork.jobs import State
from viiwork.processes import identity
from viiwork.settings import Settings, load_settings
from viiwork.store import Store

Start = Callable[..., Post]
SLOWLY = ("--token-s", "0.01")
INNOCENTS = [f"Number {number}: what now?" for number in range(8)]
RESTARTS, MIDDLE = 25, 10
"""A hundred of them, of a guard without a worker, are in `test_guard_restarts`."""
MIB = 1 << 20


@pytest.fixture
def start(settings: Settings, real_store: Store, tmp_path: Path) -> Iterator[Start]:
    """Starts `cpu0` with a fake vLLM that is told what to do wrong."""
    posts: list[Post] = []

    def begin(*flags: str, module: str = "tests.paced", **changes: object) -> Post:
        section = engine_section(tmp_path, "vllm", flags=(*SLOWLY, *flags)) | changes
        queue = {"beat_s": 0.1, "lease_ttl_s": 2.0, "hint_grace_s": 1.0, "retry_base_s": 0.1, "drain_grace_s": 5.0}
        told = settings.model_dump() | {"engine": section, "queue": queue}
        posts.append(Post(Fleet(load_settings(told)), real_store, model=ALIAS))
        posts[0].start(module=module)
        return posts[0]

    yield begin
    for post in posts:
        post.close()


async def test_killed_while_it_loads_it_is_started_again(start: Start) -> None:
    """The job that waits for it never reached it, and is at its first attempt."""
    post = start("--load-s", "3")
    jobs = await post.submit(*INNOCENTS)
    loading = await post.card("loading")
    kill(loading.engine_pid)
    assert await post.ended(jobs) == {"succeeded": 8}
    assert {await post.attempts(job) for job in jobs} == {1}
    assert (await post.card("ready")).engine_restarts == 1


async def test_killed_while_it_is_idle_it_is_started_again(start: Start) -> None:
    """And what comes meanwhile is answered."""
    post = start()
    kill((await post.card("ready")).engine_pid)
    assert await post.ended(await post.submit(*INNOCENTS)) == {"succeeded": 8}


async def test_dead_in_the_middle_of_its_jobs_it_answers_them_in_its_next_life(start: Start) -> None:
    """All that were in it are tried again, and each is answered once."""
    post = start()
    await post.card("ready")
    jobs = await post.submit("[[die 5 once]] Go on.", *INNOCENTS)
    assert await post.ended(jobs) == {"succeeded": 9}
    assert await post.attempts(jobs[0]) > 1


async def test_a_job_that_kills_every_engine_is_put_away_alone(start: Start) -> None:
    """The others are answered, whatever engine they were in when it died."""
    post = start()
    await post.card("ready")
    jobs = await post.submit("[[die 5]] Go on.", *INNOCENTS)
    assert await post.ended(jobs) == {"dead": 1, "succeeded": 8}
    assert (await post.store.job(jobs[0].id)).state is State.DEAD


@pytest.mark.parametrize("how", ["hang", "freeze", "stop"])
async def test_found_hanging_it_is_started_again(start: Start, how: str) -> None:
    """Whether it generates nothing, answers nothing, or is stopped by a signal, with jobs in it."""
    post = start(hang_s=2.0)
    ready = await post.card("ready")
    jobs = await post.submit("Go on." if how == "stop" else f"[[{how} 5 once]] Go on.", *INNOCENTS, tokens=60)
    if how == "stop":
        kill(ready.engine_pid, signal.SIGSTOP)
    assert await post.ended(jobs) == {"succeeded": 9}
    again = await post.card("ready", engine_but=ready.engine_pid)
    assert again.engine_restarts >= 1, "once, unless this machine stands still for so long"
    assert identity(ready.engine_pid) is None


async def test_with_its_port_taken_it_goes_to_another(start: Start) -> None:
    """As often as it takes; nobody has to look."""
    post = start("--fault", "loading-port-taken", "--fault-lives", "7")
    assert await post.ended(await post.submit(*INNOCENTS)) == {"succeeded": 8}


async def test_without_its_model_it_is_given_up_at_once_until_a_person_has_looked(start: Start) -> None:
    """Its jobs wait, unharmed."""
    post = start("--fault", "loading-no-model", "--fault-lives", "1", module="viiwork_workers")
    jobs = await post.submit(*INNOCENTS)
    failed = await post.status("failed")
    await eventually(lambda: _quarantined(post), what="the quarantine")
    assert "model" in failed.card.engine_state
    assert {await post.attempts(job) for job in jobs} == {0}
    await post.store.lift_quarantine(failed.card.name)
    assert await post.ended(jobs) == {"succeeded": 8}


async def _quarantined(post: Post) -> bool:
    return bool(await post.store.quarantined())


async def test_out_of_memory_again_and_again_it_is_given_up_with_what_to_do(start: Start) -> None:
    """After five tries, for that may pass; the reason is in the fleet's status, and the jobs wait."""
    post = start("--fault", "loading-out-of-memory", module="tests.hurried")
    jobs = await post.submit(*INNOCENTS)
    failed = await post.card("failed")
    assert "memory" in failed.engine_state
    await eventually(lambda: _quarantined(post), what="the quarantine")
    assert {await post.attempts(job) for job in jobs} == {0}


async def test_out_of_memory_under_its_jobs_it_is_started_again(start: Start) -> None:
    """As after any other death."""
    post = start()
    jobs = await post.submit("[[out-of-memory 5 once]] Go on.", *INNOCENTS)
    assert await post.ended(jobs) == {"succeeded": 9}


async def test_an_engine_that_writes_garbage_is_given_no_job(start: Start) -> None:
    """The canary finds it out, before and after a restart; then a person must look."""
    post = start("--fault", "garbage")
    jobs = await post.submit(*INNOCENTS)
    failed = await post.card("failed")
    assert "sense" in failed.engine_state
    assert {await post.attempts(job) for job in jobs} == {0}


async def test_with_its_guard_killed_it_is_ended_and_started_by_the_next_guard(start: Start) -> None:
    """The jobs that were in it are answered by the new engine; nothing of the old one is left."""
    post = start()
    ready = await post.card("ready")
    jobs = await post.submit(*INNOCENTS, tokens=60)
    kill(post.guard_pid())
    assert await post.ended(jobs) == {"succeeded": 8}
    again = await post.card("ready", engine_but=ready.engine_pid)
    assert identity(ready.engine_pid) is None
    assert post.people() == [again.engine_pid]


async def test_restarts_leave_nothing_behind(start: Start) -> None:
    """No process, no port, no open file, and no memory that grows; every life answers its job."""
    post = start()
    post.within_s = 60.0
    ready = await post.card("ready")
    ports: set[int] = set()
    weights = []
    for life in range(1, RESTARTS + 1):
        ports |= _ports(ready.engine_pid)
        kill(ready.engine_pid)
        # not before: a job that is in two engines when they die is put away, and rightly
        assert await post.ended(await post.submit(f"Number {life}: what now?", tokens=8)) == {"succeeded": 1}
        ready = await post.card("ready", engine_but=ready.engine_pid)
        if life in (MIDDLE, RESTARTS):
            weights.append([weigh(pid) for pid in (ready.pid, post.guard_pid())])
    assert ready.engine_restarts == RESTARTS
    assert post.people() == [ready.engine_pid]
    assert len(ports) > 1
    assert len(set.union(*map(_ports, (post.guard_pid(), *post.people())))) == 1
    for middle, end in zip(*weights, strict=True):
        assert end.rss_bytes < middle.rss_bytes + 4 * MIB
        assert end.open_files <= middle.open_files + 2


def _ports(pid: int) -> set[int]:
    """Where that process listens. Whoever else is given a port that was once an engine's is nobody's leak."""
    connections = psutil.Process(pid).net_connections("tcp4")
    return {at.laddr.port for at in connections if at.status == psutil.CONN_LISTEN}
