"""Slow work on a thread of its own, so that a disk or a card that does not answer holds nobody up."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Generic, TypeVar

log = logging.getLogger(__name__)
T = TypeVar("T")
LIMIT_S = 2.0
LINGER_S = 5.0
"""For how long its thread waits for more. A new one for each look at a card took half of what the look took."""


class Aside(Generic[T]):
    """Does one piece of work at a time; while one is out, the next is left undone."""

    def __init__(self, *, limit_s: float = LIMIT_S, linger_s: float = LINGER_S) -> None:
        self._limit_s = limit_s
        self._linger_s = linger_s
        self._out: asyncio.Future[T | None] | None = None
        self._orders: SimpleQueue[Callable[[], None]] | None = None
        """Of the thread that waits for more; None while there is none."""
        self._hiring = threading.Lock()

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
            except Exception as error:  # noqa: BLE001 - the thread lives on for what comes next
                log.error("what was done aside met a defect: %s", type(error).__name__)  # noqa: TRY400 - no text
            with suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(tell, result)

        self._order(run)
        # Not `wait_for`, which in Python 3.11 may lose a cancellation: who closed a watch then waited for ever.
        done, _ = await asyncio.wait((out,), timeout=self._limit_s)
        return out.result() if done else None

    def _order(self, run: Callable[[], None]) -> None:
        with self._hiring:
            if self._orders is None:
                self._orders = SimpleQueue()
                # Not the loop's own threads: their end is waited for, and a read from a lost card has none.
                threading.Thread(target=self._serve, args=(self._orders,), daemon=True).start()
            self._orders.put(run)

    def _serve(self, orders: SimpleQueue[Callable[[], None]]) -> None:
        """Until there has been nothing to do for a while."""
        while (run := self._next(orders)) is not None:
            run()

    def _next(self, orders: SimpleQueue[Callable[[], None]]) -> Callable[[], None] | None:
        with suppress(Empty):
            return orders.get(timeout=self._linger_s)
        with self._hiring:  # nothing is ordered of a thread that has made up its mind to go
            with suppress(Empty):
                return orders.get_nowait()
            self._orders = None
        return None
