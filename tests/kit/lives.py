"""What an engine promises about its beginning and its end. Each test loads an engine of its own."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import pytest

from tests.kit.case import Case
from tests.kit.works import LETTER, chat, step
from tests.kit.writing import Hearing
from tests.workers import eventually
from viiwork.errors import EngineDied, EngineFault, Unavailable
from viiwork.work import Answer, EngineWork
from viiwork_workers.engines.base import Engine


class Lives:
    """Of every engine."""

    async def test_it_can_be_closed_twice_and_then_runs_nothing(self, case: Case, tmp_path: Path) -> None:
        """Work after the end is the engine's fault, so that another worker takes it."""
        async with case.loaded(tmp_path) as engine:
            await engine.close()
            await engine.close()
            if case.counts_tokens:
                with pytest.raises(EngineFault):
                    await engine.run(step())

    async def test_work_in_flight_when_it_closes_ends(self, case: Case, tmp_path: Path) -> None:
        """With an answer or with EngineFault, never with silence."""
        async with case.loaded(tmp_path) as engine:
            running = asyncio.create_task(engine.run(step(LETTER * 30)))
            await asyncio.sleep(0)
            await engine.close()
            ended = (await asyncio.wait_for(asyncio.gather(running, return_exceptions=True), timeout=60))[0]
            assert isinstance(ended, EngineFault | Answer)

    async def test_while_it_loads_it_takes_nothing_and_says_so(self, case: Case, tmp_path: Path) -> None:
        """And the job never reached it: that is no fault of either."""
        async with case.loading(tmp_path) as engine:
            signals = engine.signals()
            if signals is None or signals.ready:
                pytest.skip("it is ready at once")
            assert signals.state
            with pytest.raises(Unavailable):
                await engine.run(step())
            await asyncio.wait_for(engine.until_ready(), case.start_s)
            assert (await engine.run(step())).text

    async def test_killed_in_the_middle_it_gives_its_jobs_back_and_comes_again(
        self, case: Case, tmp_path: Path
    ) -> None:
        """Every job that was in it hears that it died; the next life answers."""
        if not case.killable:
            pytest.skip("it has no process of its own")
        async with case.loaded(tmp_path) as engine:
            assert [type(ended) for ended in await self._killed_under(engine, case)] == [EngineDied, EngineDied]
            await asyncio.wait_for(engine.until_ready(), case.start_s)
            assert (await engine.run(step())).text
            told = engine.signals()
            assert told is not None
            assert (told.ready, told.restarts) == (True, 1)

    async def _killed_under(self, engine: Engine, case: Case) -> list[BaseException | Answer]:
        hearing = Hearing()
        works: list[EngineWork] = (
            [chat(f"{case.holds}Tell me more.", tokens=1_000), step(f"{case.holds}{LETTER * 4}")]
            if case.writes
            else [step(LETTER * 30)] * 2
        )
        told = engine.signals()
        assert told is not None
        if not case.writes:
            os.kill(told.pid, signal.SIGSTOP)  # it would be done before anybody saw it begin
        running = [asyncio.create_task(engine.run(work, hearing.manner)) for work in works]

        async def begun() -> bool:
            return not case.writes or len(hearing.pieces) > 3

        await asyncio.sleep(0)
        await eventually(begun, what="the stream's first pieces")
        os.kill(told.pid, signal.SIGKILL)
        ended = await asyncio.wait_for(asyncio.gather(*running, return_exceptions=True), timeout=60)
        return list(ended)
