"""Requests in flight in a fake server: so many at once, the others wait in the order of their priority."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field


@dataclass
class Slots:
    """Told at `/fake/state`."""

    count: int
    running: int = 0
    most_running: int = 0
    finished: int = 0
    cancelled: int = 0
    priorities: list[int] = field(default_factory=list)
    _queue: list[tuple[int, int, asyncio.Future[None]]] = field(default_factory=list)

    @property
    def waiting(self) -> int:
        return sum(not turn.done() for _, _, turn in self._queue)

    @asynccontextmanager
    async def one(self, priority: int) -> AsyncIterator[None]:
        """Hold a slot; whoever is cancelled frees it at once."""
        self.priorities.append(priority)
        try:
            await self._turn(priority)
            try:
                yield
            finally:
                self._leave()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        self.finished += 1

    async def _turn(self, priority: int) -> None:
        if self.running < self.count and not self.waiting:
            self._enter()
            return
        turn = asyncio.get_running_loop().create_future()
        heapq.heappush(self._queue, (priority, len(self.priorities), turn))
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():  # it was given a slot at the same moment
                self._leave()
            raise

    def _enter(self) -> None:
        self.running += 1
        self.most_running = max(self.most_running, self.running)

    def _leave(self) -> None:
        self.running -= 1
        while self._queue:
            turn = heapq.heappop(self._queue)[2]
            if not turn.done():
                self._enter()
                turn.set_result(None)
                return
