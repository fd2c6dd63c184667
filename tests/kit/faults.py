"""What becomes of a job when its engine does wrong: only of engines that do so when they are asked to, as fakes are."""

from __future__ import annotations

import asyncio

import pytest

from tests.kit.works import SHAPES, chat, step
from tests.kit.writing import Hearing
from viiwork.errors import Busy, EngineFault, JobRefused
from viiwork_workers.engines.base import PLAIN, Engine

BROKEN = ("error", "cut", "bad-json", "500")


@pytest.mark.asyncio(loop_scope="class")
class Faults:
    """The mark in the prompt says what goes wrong, after how many tokens."""

    async def test_a_broken_answer_is_the_engines_fault(self, engine: Engine) -> None:
        """Whatever it broke off with, listened to or not; the job is tried again, and the engine goes on."""
        asked = [(fault, manner) for fault in BROKEN for manner in (PLAIN, Hearing().manner)]
        runs = (engine.run(chat(f"[[{fault} 2]] Go on."), manner) for fault, manner in asked)
        ended = await asyncio.gather(*runs, return_exceptions=True)
        for (fault, _), failed in zip(asked, ended, strict=True):
            assert isinstance(failed, EngineFault), fault
            assert failed.retryable, fault
        assert (await engine.run(step())).text

    async def test_an_engine_without_room_is_nobodys_fault(self, engine: Engine) -> None:
        """The job goes back uncharged."""
        for manner in (PLAIN, Hearing().manner):
            with pytest.raises(Busy):
                await engine.run(chat("[[503 0]] Go on."), manner)
        assert (await engine.run(step())).text

    async def test_a_shape_that_was_not_held_is_found(self, engine: Engine) -> None:
        """By looking, whatever the engine promised."""
        with pytest.raises(JobRefused) as refused:
            await engine.run(chat("[[misshapen 0]] Go on.", tokens=40, shape=SHAPES["json_schema"]))
        assert refused.value.code == "invalid_output"
