"""Slow work on a thread of its own."""

from __future__ import annotations

import asyncio
import threading

import pytest

from tests.workers import eventually
from viiwork_workers.engines.guard.aside import Aside


async def test_one_thread_does_one_piece_of_work_after_the_other() -> None:
    """And what fails is None, not the end of it."""
    aside: Aside[int] = Aside()
    first = await aside.do(threading.get_ident)
    assert first not in (None, threading.get_ident())
    assert await aside.do(lambda: 1 // 0) is None
    assert await aside.do(threading.get_ident) == first


async def test_while_one_piece_of_work_is_out_the_next_is_left_undone(caplog: pytest.LogCaptureFixture) -> None:
    """A card that does not answer holds nobody up; once it does, the next is done."""
    aside, answers = Aside[int](limit_s=0.01), threading.Event()

    def stuck() -> int:
        answers.wait()
        return 1

    assert await aside.do(stuck) is None
    assert await aside.do(lambda: 2) is None
    answers.set()

    async def done() -> bool:
        return await aside.do(lambda: 3) == 3

    await eventually(done, what="the next piece of work")


async def test_a_thread_with_nothing_to_do_ends_and_another_begins_when_there_is() -> None:
    aside: Aside[threading.Thread] = Aside(linger_s=0.01)
    first = await aside.do(threading.current_thread)
    assert first is not None

    async def gone() -> bool:
        return not first.is_alive()

    await eventually(gone, what="an idle thread")
    second = await aside.do(threading.current_thread)
    assert second is not None
    assert second is not first
    for _ in range(50):
        assert await aside.do(threading.current_thread) is not None
        await asyncio.sleep(0.01)
