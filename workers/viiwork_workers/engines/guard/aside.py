"""Slow work on a thread of its own, so that a disk or a card that does not answer holds nobody up."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Generic, TypeVar

T = TypeVar("T")
LIMIT_S = 2.0


class Aside(Generic[T]):
    """Does one piece of work at a time; while one is out, the next is left undone."""

    def __init__(self, *, limit_s: float = LIMIT_S) -> None:
        self._limit_s = limit_s
        self._out: asyncio.Future[T | None] | None = None

    async def do(self, work: Callable[[], T]) -> T | None:
        """What came of it; None when it takes too long, or a former piece of work still does, or it failed."""
        if self._out is not None and not self._out.done():
            return None
        loop = asyncio.get_running_loop()
        self._out = out = loop.create_future()

        def tell(result: T | None) -> None:
            if not out.done():
                out.set_result(result)

        def run() -> None:
            result = None
            try:
                result = work()
            finally:
                with suppress(RuntimeError):  # the loop is closed: nobody waits any more
                    loop.call_soon_threadsafe(tell, result)

        # Not the loop's own threads: their end is waited for, and a read from a lost card has none.
        threading.Thread(target=run, daemon=True).start()
        # Not `wait_for`, which in Python 3.11 may lose a cancellation: who closed a watch then waited for ever.
        done, _ = await asyncio.wait((out,), timeout=self._limit_s)
        return out.result() if done else None
