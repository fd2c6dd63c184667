"""Wakes the transport's thread once for all that a turn of the engine's loop brings, not once for each job.

Each wake-up is a turn of Celery's hub, and makes the two threads fight for the interpreter: several jobs that begin or
end together share one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

Callback = Callable[[], None]


class Bell:
    """What `Station.attach` takes: runs `callback` soon, in the hub's thread. There is but one callback."""

    def __init__(self, call_soon: Callable[[Callback], Any]) -> None:
        self._call_soon = call_soon
        self._rung = False

    def __call__(self, callback: Callback) -> None:
        """From any thread. What was posted before is seen by the callback, even if the bell had been rung already."""
        if self._rung:
            return
        self._rung = True
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self._ring(callback)
        else:
            loop.call_soon(self._ring, callback)  # after everybody whose turn it is now

    def _ring(self, callback: Callback) -> None:
        def answer() -> None:
            self._rung = False  # first: what comes from now on rings again
            callback()

        self._call_soon(answer)
