"""An engine's turn to load again, which its guard waits for: ten at once would take a supply by surprise."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from viiwork.power.turns import may_begin_again
from viiwork.powerfile import read_power

POLL_S = 0.5


class Turn:
    """Reads what the host's power room tells; the moment of a fall is that of the host's monotonic clock."""

    def __init__(self, state_dir: Path, worker: str) -> None:
        self._state_dir = state_dir
        self._worker = worker

    def has_come(self, *, fell_s: float) -> bool:
        """Whether an engine that fell then may be started now."""
        told = read_power(self._state_dir)
        return may_begin_again(told, worker=self._worker, fell_s=fell_s, now_s=time.monotonic())

    async def wait(self, *, fell_s: float) -> None:
        """Until it has come."""
        while not self.has_come(fell_s=fell_s):  # noqa: ASYNC110 - a file of another process sets no event
            await asyncio.sleep(POLL_S)
