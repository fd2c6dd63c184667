"""A process that another follows: it stays where no new one comes up, and the end of the fleet waits for neither."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.workers import eventually
from viiwork.fleet.child import Child, ChildState
from viiwork.fleet.crew import Crew
from viiwork.fleet.plan import ProcessSpec, Role
from viiwork.fleet.renewal import Renewal

STUBBORN = "import signal, time; signal.signal(signal.SIGHUP, signal.SIG_IGN); print('up', flush=True); time.sleep(600)"
POLITE = "print('up', flush=True); import time; time.sleep(600)"


async def died(*_: object) -> None:
    """Nobody needs to know."""


@pytest.fixture
async def crew(tmp_path: Path) -> AsyncIterator[Crew]:
    hurry = asyncio.Event()
    made = Crew(logs=tmp_path, on_exit=died, hurry=hurry)
    yield made
    hurry.set()
    await made.end_all()


async def running(crew: Crew, *, code: str, drain_s: float = 600.0) -> Child:
    """A process of that code, found ready as the supervisor would."""
    crew.begin([ProcessSpec("api", Role.API, (sys.executable, "-c", code), dict(os.environ), drain_s=drain_s)])
    child = crew.children[0]
    await eventually(lambda: said_up(child), what="its start")
    child.state = ChildState.READY
    return child


async def said_up(child: Child) -> bool:
    return child.log.exists() and "up" in child.log.read_text()


async def test_the_old_one_stays_where_no_new_one_comes_up(crew: Crew) -> None:
    """And people are told which, and where to look."""
    told: list[str] = []
    old = await running(crew, code=POLITE)
    old.spec = ProcessSpec("api", Role.API, (sys.executable, "-c", "raise SystemExit(3)"), dict(os.environ))
    renewal = Renewal(crew, tell=told.append, patience_s=1.0)
    renewal.ask()
    renewal.ask()  # one at a time
    await eventually(lambda: answered(told), what="the answer")
    assert len(told) == 1
    assert "api stays as it is" in told[0]
    assert (crew.children, old.state, old.stopping) == ([old], ChildState.READY, False)
    await renewal.close()


async def test_the_end_of_the_fleet_does_not_wait_for_one_that_makes_way(crew: Crew) -> None:
    """It may go on for minutes while others answer, and no longer than they do."""
    old = await running(crew, code=STUBBORN)
    pid = old.pid
    renewing = asyncio.create_task(crew.renew("api", within_s=30.0))
    await eventually(lambda: two(crew), what="a second process")
    crew.children[1].state = ChildState.READY
    assert await renewing
    assert [child.pid for child in crew.children] != [pid]
    assert old.stopping
    os.kill(pid, 0)  # it goes on
    await crew.end_all()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


async def answered(told: list[str]) -> bool:
    return bool(told)


async def two(crew: Crew) -> bool:
    return len(crew.children) == 2 and crew.children[1].pid != 0
