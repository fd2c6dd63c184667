"""A keeper without a guard: it says that the engine is ready at a URL, and whatever else a test makes it say."""

from __future__ import annotations

import asyncio

from viiwork_workers.engines.guard.frames import Load, Phase


class StandIn:
    """Follows the Keeper protocol; `say` changes the phase."""

    def __init__(self, phase: Phase) -> None:
        self.phase = phase
        self.load: Load | None = None
        self.opened = self.closed = False
        self.told: list[tuple[int, int]] = []
        self.again_asked = 0
        self.doubts = 0
        self._news = asyncio.Event()

    def say(self, phase: Phase) -> None:
        self.phase = phase
        self._news.set()

    async def open(self) -> None:
        self.opened = True

    async def changed(self, than: Phase) -> Phase:
        while self.phase == than:
            self._news.clear()
            await self._news.wait()
        return self.phase

    def busy(self, *, running: int, received_bytes: int) -> None:
        self.told.append((running, received_bytes))

    def doubt(self) -> None:
        self.doubts += 1

    def again(self) -> None:
        self.again_asked += 1

    async def close(self, *, keep: bool = False) -> None:
        self.closed = True
