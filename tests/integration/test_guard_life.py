"""A real guard with a small engine: how it is started, checked, watched, started again and ended."""

from __future__ import annotations

import os
import signal
import stat
from pathlib import Path

import httpx
import psutil
import pytest

from tests.guarded import METRICS, Guarded, stage, until
from viiwork.processes import identity
from viiwork_workers.engines.guard.course import MANY_PORTS


async def test_it_loads_is_checked_and_answers_with_a_key_of_its_own(guarded: Guarded) -> None:
    """Answers that say `loading` are no death; the process has nothing of our environment."""
    guarded.plan(loading=5)
    keeper = await guarded.keeper()
    seen = [keeper.phase]
    while seen[-1].stage != "ready":
        seen.append(await keeper.changed(seen[-1]))
    assert {phase.stage for phase in seen} <= {"starting", "loading", "checking", "ready"}
    ready = seen[-1]
    assert (ready.life, ready.deaths, ready.restarts, ready.why) == (1, 0, 0, "")
    async with httpx.AsyncClient(base_url=ready.url, timeout=60) as client:
        assert (await client.get("/v1/models")).status_code == 401
        assert (await client.get("/v1/models", headers={"authorization": f"Bearer {ready.key}"})).is_success
    environ = psutil.Process(ready.pid).environ()
    assert environ["VIIWORK_ENGINE_OF"] == guarded.files.mark
    assert "PATH" not in environ
    assert os.getsid(ready.pid) == ready.pid


async def test_what_it_leaves_on_disk_is_for_its_owner_alone(guarded: Guarded) -> None:
    guarded.plan(say=["a secret of somebody"])
    await stage(await guarded.keeper(), "ready")
    for path in (guarded.files.socket, guarded.files.record, guarded.files.engine_log, guarded.files.diary):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
    assert stat.S_IMODE(guarded.files.room.stat().st_mode) == 0o700
    assert "a secret of somebody" in guarded.files.engine_log.read_text(encoding="utf-8")
    assert "secret" not in guarded.files.diary.read_text(encoding="utf-8")


@pytest.mark.parametrize("looks", [100_000, 0], ids=["while it loads", "when it is ready"])
async def test_a_killed_engine_is_started_again(guarded: Guarded, looks: int) -> None:
    """At once said, with how it ended; the port and the key are new ones."""
    guarded.plan(loading=looks)
    keeper = await guarded.keeper()
    first = await stage(keeper, "loading" if looks else "ready")
    guarded.plan()
    os.kill(first.pid, signal.SIGKILL)
    fallen = await stage(keeper, "restarting")
    assert (fallen.stage, fallen.pid, fallen.url, fallen.deaths) == ("restarting", 0, "", 1)
    assert fallen.why == "the engine's process was killed by signal 9"
    second = await stage(keeper, "ready", life=2)
    assert second.pid != first.pid
    assert second.key not in ("", first.key)
    assert second.restarts == 1


async def test_the_rest_of_a_dead_engine_is_ended_before_the_next_start(guarded: Guarded) -> None:
    """A helper in a session of its own that outlives the process that clients speak to."""
    guarded.plan(helper=True)
    keeper = await guarded.keeper()
    first = await stage(keeper, "ready")
    helpers = [pid for pid in guarded.people() if pid != first.pid]
    assert len(helpers) == 1
    os.kill(first.pid, signal.SIGKILL)
    await stage(keeper, "ready", life=2)
    assert identity(helpers[0]) is None


async def test_an_engine_that_is_silent_while_idle_is_started_again(guarded: Guarded) -> None:
    keeper = await guarded.keeper(guarded.launch(hang_s=1.0))
    first = await stage(keeper, "ready")
    os.kill(first.pid, signal.SIGSTOP)
    fallen = await stage(keeper, "restarting")
    assert fallen.why == "the engine did not answer for 1 s"
    assert (await stage(keeper, "ready", life=2)).pid != first.pid


async def test_an_engine_that_answers_its_health_page_and_generates_nothing_hangs(guarded: Guarded) -> None:
    """By its own count of tokens: bytes that trickle in besides prove nothing."""
    guarded.plan(metrics="running 1\nprompt 10\noutput 5\n")
    keeper = await guarded.keeper(guarded.launch(hang_s=2.0, metrics=METRICS))
    await stage(keeper, "ready")
    keeper.busy(running=1, received_bytes=1)
    await until(lambda: keeper.load is not None, what="its load is told")
    assert keeper.load is not None
    assert (keeper.load.running, keeper.load.output_tokens) == (1, 5)
    fallen = await stage(keeper, "restarting")
    assert fallen.why == "nothing came from the engine for 2 s while requests ran"
    assert keeper.load is None
    guarded.plan()
    await stage(keeper, "ready", life=2)


async def test_without_metrics_the_bytes_that_the_worker_was_answered_tell_of_a_hang(guarded: Guarded) -> None:
    keeper = await guarded.keeper(guarded.launch(hang_s=2.0))
    await stage(keeper, "ready")
    keeper.busy(running=3, received_bytes=100)
    assert "while requests ran" in (await stage(keeper, "restarting")).why


async def test_garbage_is_met_with_a_restart_and_the_second_time_in_a_row_with_an_end(guarded: Guarded) -> None:
    """Until a person has looked; the reason is our own, not a word of the answer."""
    guarded.plan(answer="!!!!!!!!!!!!!!!!!!!!!!!!!")
    keeper = await guarded.keeper()
    fallen = await stage(keeper, "restarting")
    assert "makes no sense" in fallen.why
    failed = await stage(keeper, "failed")
    assert failed.restarts == 2
    assert "!!" not in failed.why
    await until(lambda: guarded.people() == [], what="nothing runs")
    guarded.plan()
    keeper.again()
    assert (await stage(keeper, "ready")).deaths == 0


async def test_garbage_is_found_while_it_serves(guarded: Guarded) -> None:
    keeper = await guarded.keeper(guarded.launch(canary_every_s=0.3))
    guarded.plan(answer="\ufffd" * 30, only=(await stage(keeper, "ready")).pid)
    assert "makes no sense" in (await stage(keeper, "restarting")).why
    assert (await stage(keeper, "ready")).life == 2


async def test_an_error_that_a_restart_cannot_mend_ends_the_trying_at_once(guarded: Guarded) -> None:
    """What its log says is told in our words, with what to do."""
    guarded.plan(say=["OSError: Repo id must be in the form 'repo_name': '/secret/place'"], exit=1)
    keeper = await guarded.keeper()
    failed = await stage(keeper, "failed")
    assert failed.life == 1
    assert "model" in failed.why
    assert failed.advice
    assert "secret" not in failed.why + failed.advice
    guarded.plan()
    keeper.again()
    assert (await stage(keeper, "ready")).life == 2


async def test_a_program_that_is_not_there_is_not_tried_again(guarded: Guarded) -> None:
    keeper = await guarded.keeper(guarded.launch(argv=("/nowhere/vllm",)))
    failed = await stage(keeper, "failed")
    assert failed.why == "the engine's program cannot be started: No such file or directory"
    assert failed.advice


async def test_a_taken_port_is_nobodys_fault(guarded: Guarded) -> None:
    """Another one at once, and not counted, a few times."""
    guarded.plan(say=["OSError: [Errno 98] Address already in use"], exit=1, first=MANY_PORTS)
    keeper = await guarded.keeper()
    phase = await stage(keeper, "restarting", "failed", life=MANY_PORTS)
    assert (phase.stage, phase.deaths, phase.restarts) == ("restarting", 0, 0)
    assert (await stage(keeper, "ready")).deaths == 0


async def test_five_quick_deaths_in_a_row_are_enough(guarded: Guarded) -> None:
    guarded.plan(exit=7)
    failed = await stage(await guarded.keeper(), "failed")
    assert (failed.life, failed.deaths, failed.why) == (
        5,
        5,
        "the engine's process ended with code 7 (5 times in a row)",
    )


async def test_one_that_is_never_ready_is_ended_when_its_time_is_over(guarded: Guarded) -> None:
    guarded.plan(loading=100_000)
    keeper = await guarded.keeper(guarded.launch(start_timeout_s=4.5))
    fallen = await stage(keeper, "restarting")
    assert fallen.why == "the engine was not ready after 4.5 s"
    guarded.plan()
    await stage(keeper, "ready")


async def test_closing_ends_everything_and_kills_what_is_stubborn_after_the_grace(guarded: Guarded) -> None:
    guarded.plan(helper=True, stubborn=True)
    keeper = await guarded.keeper(guarded.launch(stop_grace_s=0.5))
    await stage(keeper, "ready")
    assert len(guarded.people()) == 2
    await keeper.close()
    assert guarded.everyone() == []
    assert not guarded.files.record.exists()
    assert not guarded.files.socket.exists()


async def test_a_signal_ends_a_guard_as_its_worker_would(guarded: Guarded) -> None:
    """The supervisor sends it to whoever is left."""
    keeper = await guarded.keeper()
    await stage(keeper, "ready")
    guard = guarded.guard_pid()
    os.kill(guard, signal.SIGTERM)
    await stage(keeper, "ready", life=2)  # a worker that lives has another one started
    assert guarded.guard_pid() != guard


async def test_a_directory_with_a_very_long_name_is_no_obstacle(tmp_path: Path) -> None:
    """A socket's path has at most 108 bytes."""
    root = tmp_path / ("long" * 30) / ("name" * 30)
    root.mkdir(parents=True)
    guarded = Guarded(root)
    await stage(await guarded.keeper(), "ready")
    await guarded.close()
    assert guarded.everyone() == []
