"""When the machine itself stood still: a ticker beside a benchmark, by which its stalls can be told from ours."""

from __future__ import annotations

import asyncio
import time
from types import TracebackType
from typing import Self

TICK_S = 0.01
NOTED_S = 0.05


class Lag:
    """Ticks on the running loop and keeps the moments at which it came late."""

    def __init__(self) -> None:
        self._late: list[tuple[float, float]] = []
        self._ticking: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._ticking = asyncio.create_task(self._tick())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._ticking is not None:
            self._ticking.cancel()
            await asyncio.gather(self._ticking, return_exceptions=True)

    def note(self, *, until_ms: float, late_s: float) -> None:
        """The ticker woke at `until_ms` on the wall clock, so much too late."""
        if late_s >= NOTED_S:
            self._late.append((until_ms - 1000 * late_s, until_ms))

    def within_ms(self, begin_ms: float, end_ms: float) -> float:
        """For how long nothing ran between two moments of the wall clock, which is Redis' clock too."""
        return sum(max(0.0, min(end, end_ms) - max(begin, begin_ms)) for begin, end in self._late)

    async def _tick(self) -> None:
        while True:
            asleep_s = time.monotonic()
            await asyncio.sleep(TICK_S)
            self.note(until_ms=time.time() * 1000, late_s=time.monotonic() - asleep_s - TICK_S)
