"""`viiwork down` after a crash: what is left is found, guards end their engines, and nobody is killed too early."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest

from tests.guarded import SCRIPT, Guarded, stage, until
from viiwork.fleet import down
from viiwork.fleet.leftovers import Leftovers, longest_end_s
from viiwork.fleet.plan import TAG
from viiwork.guardrecord import read_records
from viiwork.processes import identity, is_alive, send, wait_gone
from viiwork.recipes import Launch
from viiwork.settings import load_settings
from viiwork.statedir import StateDir
from viiwork_workers.engines.guard.followed import FollowedKeeper

SLOW = """
import os, signal, sys, threading, time
def leave(*_):
    threading.Thread(target=lambda: (time.sleep(1.5), open({diary!r}, "a").write("gently"), os._exit(0))).start()
signal.signal(signal.SIGTERM, leave)
exec(open({script!r}).read())
"""
UNMARKED = """
import os, subprocess, sys
argv = [sys.executable, "-S", "-c", "import signal; signal.pause()"]
helper = subprocess.Popen(argv, env={{}}, start_new_session=True)
open({diary!r}, "w").write(str(helper.pid))
exec(open({script!r}).read())
"""


class Crashed:
    """A fleet of one engine, whose worker and supervisor are gone."""

    def __init__(self, guarded: Guarded) -> None:
        self.guarded = guarded
        self.state = StateDir(guarded.files.state_dir)
        self.diary = guarded.root / "diary"
        self.told: list[str] = []
        self.engine = 0

    def launch(self, program: str, **changes: float) -> Launch:
        file = self.guarded.root / "engine.py"
        file.write_text(program.format(diary=str(self.diary), script=str(SCRIPT)), encoding="utf-8")
        argv = (sys.executable, "-I", "-S", str(file), "{port}", "{key}", str(self.guarded.plan_file))
        return self.guarded.launch(argv=argv, **changes)

    async def leave(self, launch: Launch) -> None:
        """Its engine is ready, and its worker gone."""
        keeper: FollowedKeeper = await self.guarded.keeper(launch)
        self.engine = (await stage(keeper, "ready")).pid
        await keeper.close(keep=True)

    async def down(self) -> bool:
        settings = load_settings({"fleet": {"state_dir": str(self.state.root)}})
        return await asyncio.to_thread(down.take_down, settings, tell=self.told.append)


@pytest.fixture
def crashed(guarded: Guarded, monkeypatch: pytest.MonkeyPatch) -> Crashed:
    monkeypatch.setenv(TAG, str(guarded.files.state_dir))
    monkeypatch.setattr(down, "ORPHAN_GRACE_S", 0.1)
    return Crashed(guarded)


async def test_an_engine_ends_in_its_own_time_although_workers_are_hurried(crashed: Crashed) -> None:
    await crashed.leave(crashed.launch(SLOW, stop_grace_s=30.0))
    assert longest_end_s(crashed.state) > 30
    assert await crashed.down()
    assert crashed.diary.read_text() == "gently"
    assert "the engine of gpu0 is ending, up to 30 s" in crashed.told
    assert crashed.guarded.everyone() == []
    assert read_records(crashed.state.root) == {}


async def test_an_engine_without_a_guard_ends_in_its_own_time_too(crashed: Crashed) -> None:
    await crashed.leave(crashed.launch(SLOW, stop_grace_s=30.0))
    os.kill(crashed.guarded.guard_pid(), signal.SIGKILL)
    assert await crashed.down()
    assert crashed.diary.read_text() == "gently"
    assert crashed.guarded.everyone() == []


async def test_a_part_of_an_engine_that_bears_no_mark_is_found_by_the_record(crashed: Crashed) -> None:
    """As vLLM's EngineCore, which writes its title over its environment."""
    await crashed.leave(crashed.launch(UNMARKED))
    helper = int(crashed.diary.read_text())
    who = identity(helper)
    assert who is not None

    def recorded() -> bool:
        record = read_records(crashed.state.root).get("gpu0")
        return record is not None and (helper, who) in record.people

    await until(recorded, what="the helper is not in the record")
    for pid in (crashed.guarded.guard_pid(), crashed.engine):
        os.kill(pid, signal.SIGKILL)
    assert is_alive(helper, who)
    assert await crashed.down()
    assert not is_alive(helper, who)


async def test_a_guard_that_was_stopped_goes_on_to_end_its_engine(crashed: Crashed) -> None:
    await crashed.leave(crashed.launch(SLOW, stop_grace_s=30.0))
    os.kill(crashed.guarded.guard_pid(), signal.SIGSTOP)
    assert await crashed.down()
    assert crashed.diary.read_text() == "gently"
    assert crashed.guarded.everyone() == []


async def test_an_engine_that_does_not_end_is_killed_after_its_grace(crashed: Crashed) -> None:
    crashed.guarded.plan(stubborn=True, helper=True)
    await crashed.leave(crashed.guarded.launch(stop_grace_s=0.3))
    os.kill(crashed.guarded.guard_pid(), signal.SIGKILL)
    assert await crashed.down()
    assert crashed.guarded.everyone() == []


async def test_where_nothing_is_left_nothing_is_said(crashed: Crashed) -> None:
    """A record of those that are long gone is taken away."""
    await crashed.leave(crashed.guarded.launch())
    people = [(crashed.guarded.guard_pid(), identity(crashed.guarded.guard_pid()) or ""), *living(crashed.guarded)]
    for person in people:
        send(*person, signal.SIGKILL)
    await asyncio.to_thread(wait_gone, people, timeout_s=60)
    assert list(read_records(crashed.state.root)) == ["gpu0"]
    assert not await crashed.down()
    assert (crashed.told, read_records(crashed.state.root)) == ([], {})


async def test_the_engines_of_another_state_directory_are_left_alone(crashed: Crashed, tmp_path: Path) -> None:
    await crashed.leave(crashed.guarded.launch())
    other = StateDir(tmp_path / "state2")
    other.prepare()
    assert Leftovers(other, tell=crashed.told.append).end(grace_s=0.1) == []
    assert crashed.guarded.people() != []
    assert await crashed.down()


def living(guarded: Guarded) -> list[tuple[int, str]]:
    return [(pid, who) for pid in guarded.people() if (who := identity(pid)) is not None]
