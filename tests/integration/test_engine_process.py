"""An engine in a process of its own: killed, poisoned, orphaned, and started again."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import psutil
import pytest

from viiwork.errors import EngineDied, EngineFault, JobRefused, Unavailable
from viiwork.processes import identity
from viiwork.settings import EngineSection, Settings
from viiwork.work import ChatInput, Message
from viiwork_workers.engines.choose import make_engine
from viiwork_workers.engines.simulated.engine import simulated_facts
from viiwork_workers.engines.simulated.frames import POISON, Begin
from viiwork_workers.engines.simulated.hosted import HostedEngine

QUICK = EngineSection(kind="simulated", model="sim", slots=4, time_scale=0.001, process=True, poison=True)
LONG = 240
"""Output tokens of a job that takes a good while."""


def chat(text: str = "hello", *, tokens: int = 16) -> ChatInput:
    return ChatInput(messages=(Message(role="user", content=text),), max_output_tokens=tokens)


@pytest.fixture
async def engine() -> AsyncIterator[HostedEngine]:
    async for made in engine_of(QUICK):
        yield made


async def engine_of(settings: EngineSection) -> AsyncIterator[HostedEngine]:
    made = make_engine(Settings(engine=settings), card="gpu0")
    assert isinstance(made, HostedEngine)
    await made.load()
    yield made
    await made.close()


async def until(check: Callable[[], bool], *, what: str, within_s: float = 60.0) -> None:
    async with asyncio.timeout(within_s):
        while not check():
            await asyncio.sleep(0.01)
    assert check(), what


async def test_what_is_in_flight_when_it_is_killed_ends_as_its_death(engine: HostedEngine) -> None:
    """The worker lives on, takes nothing meanwhile, and has a new engine soon."""
    first = engine.signals().pid
    os.kill(first, signal.SIGSTOP)  # so that nothing is answered before it dies
    running = [asyncio.ensure_future(engine.run(chat(f"job {n}"))) for n in range(3)]
    await asyncio.sleep(0.05)
    os.kill(first, signal.SIGKILL)
    ends = await asyncio.gather(*running, return_exceptions=True)
    assert [type(end) for end in ends] == [EngineDied] * 3
    assert "signal 9" in str(ends[0])
    gone = engine.signals()
    assert (gone.ready, gone.pid, gone.state) == (False, 0, "restarting")
    with pytest.raises(Unavailable):
        await engine.run(chat())
    await engine.until_ready()
    again = engine.signals()
    assert again.ready
    assert again.restarts == 1
    assert again.pid not in (0, first)
    assert (await engine.run(chat())).text


async def test_an_engine_that_dies_again_and_again_is_tried_on_and_says_so(engine: HostedEngine) -> None:
    """After the third quick death in a row people are told; the next life forgets nothing."""
    for death in range(1, 4):
        os.kill(engine.signals().pid, signal.SIGKILL)
        await until(lambda: not engine.signals().ready, what="the death is seen")
        said = "restarting (3 deaths)" if death == 3 else "restarting"
        await until(lambda said=said: engine.signals().state == said, what=f"death {death} is told")  # type: ignore[misc]
        await engine.until_ready()
    assert engine.signals().restarts == 3


async def test_a_poisoned_job_kills_the_engine_and_the_others_in_it_hear_of_it(engine: HostedEngine) -> None:
    poisoned = asyncio.ensure_future(engine.run(chat(f"please {POISON} now")))
    with pytest.raises(EngineDied):
        await poisoned
    await engine.until_ready()
    assert (await engine.run(chat())).text


async def test_poison_is_plain_text_where_the_settings_do_not_say_otherwise() -> None:
    async for engine in engine_of(QUICK.model_copy(update={"poison": False})):
        assert (await engine.run(chat(POISON))).text
        assert engine.signals().restarts == 0


async def test_a_refusal_crosses_the_line_whole(engine: HostedEngine) -> None:
    """Code and hint too: it is the job's fault there as here."""
    with pytest.raises(JobRefused) as refused:
        await engine.run(chat("word " * 20_000))
    assert refused.value.code == "context_length"
    assert refused.value.hint


@pytest.fixture
async def slow_engine() -> AsyncIterator[HostedEngine]:
    """One that takes a quarter of a second for a long job, two at a time."""
    async for made in engine_of(QUICK.model_copy(update={"time_scale": 0.05, "slots": 2})):
        yield made


async def test_a_cancelled_job_leaves_its_room_in_the_process(slow_engine: HostedEngine) -> None:
    running = [asyncio.ensure_future(slow_engine.run(chat(f"{n}", tokens=LONG))) for n in range(200)]
    await until(lambda: slow_engine.signals().running == 2, what="they run")
    for job in running:
        job.cancel()
    await asyncio.gather(*running, return_exceptions=True)
    assert (await slow_engine.run(chat())).text
    await until(lambda: slow_engine.signals().running == 0, what="the card is empty")


async def test_it_tells_how_loaded_it_is_from_time_to_time(slow_engine: HostedEngine) -> None:
    running = [asyncio.ensure_future(slow_engine.run(chat(f"{n}", tokens=LONG))) for n in range(60)]
    await until(lambda: slow_engine.signals().running == 2, what="two run")
    assert slow_engine.signals().waiting > 0
    assert 0 < slow_engine.signals().kv_use < 1
    for job in running:
        job.cancel()
    await asyncio.gather(*running, return_exceptions=True)


async def test_it_lives_in_a_session_of_its_own_and_knows_no_secret(engine: HostedEngine) -> None:
    """Ctrl-C reaches the worker alone; an engine has no business with Redis."""
    pid = engine.signals().pid
    assert os.getsid(pid) == pid != os.getsid(0)
    assert not any(name.startswith("VIIWORK_") for name in psutil.Process(pid).environ())


async def test_an_engine_that_does_not_come_up_is_a_fault_that_says_how_it_ended() -> None:
    broken = Begin(model="sim", slots=4, time_scale=float("nan"))
    engine = HostedEngine(simulated_facts(model="sim", slots=4), broken)
    with pytest.raises(EngineFault, match="before it was ready"):
        await engine.load()
    await engine.close()


async def test_closing_ends_the_process_and_what_is_in_it(
    slow_engine: HostedEngine, caplog: pytest.LogCaptureFixture
) -> None:
    """Not as a death: nobody is suspected, nothing is started again."""
    pid = slow_engine.signals().pid
    running = [asyncio.ensure_future(slow_engine.run(chat(f"{n}", tokens=LONG))) for n in range(200)]
    await asyncio.sleep(0.05)
    with caplog.at_level(logging.ERROR):
        await slow_engine.close()
    ends = await asyncio.gather(*running, return_exceptions=True)
    assert type(ends[-1]) is EngineFault
    assert not psutil.pid_exists(pid)
    assert caplog.records == []


ORPHAN = """
import asyncio, sys
from viiwork.settings import EngineSection, Settings
from viiwork_workers.engines.choose import make_engine

async def main():
    section = EngineSection(kind="simulated", slots=2, time_scale=float(sys.argv[1]), process=True)
    engine = make_engine(Settings(engine=section), card="")
    loading = asyncio.ensure_future(engine.load())
    while engine._child is None and not loading.done() and not [*__import__("psutil").Process().children()]:
        await asyncio.sleep(0.01)
    print(__import__("psutil").Process().children()[0].pid, flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""


@pytest.mark.parametrize("time_scale", [0.001, 10.0], ids=["serving", "still loading"])
async def test_it_ends_when_its_worker_dies_however_that_goes(time_scale: float, tmp_path: Path) -> None:
    """The socket closes with the worker: no signal, no parent to ask, also while it loads."""
    command = [sys.executable, "-c", ORPHAN, str(time_scale)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=tmp_path) as worker:
        assert worker.stdout is not None
        pid = int(await asyncio.to_thread(worker.stdout.readline))
        worker.kill()
    await until(lambda: identity(pid) is None, what="the engine's process is gone")
