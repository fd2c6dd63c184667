"""How much a worker has in its engine, told to the engine's keeper: often enough to see a hang, and not more."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from viiwork_workers.engines.guard.keeper import Keeper

TELL_S = 1.0


class Busyness:
    """Counts requests and bytes. The last change is always told: one request that is over and was not would look
    like one that hangs."""

    def __init__(self, keeper: Keeper) -> None:
        self.running = 0
        self._received_bytes = 0
        self._keeper = keeper
        self._pause: asyncio.TimerHandle | None = None
        self._news = False

    @contextmanager
    def one_more(self) -> Iterator[None]:
        """While a request is in the engine."""
        self._change(1)
        try:
            yield
        finally:
            self._change(-1)

    def heard(self, count: int) -> None:
        """So many bytes have come in."""
        self._received_bytes += count
        self._tell()

    def close(self) -> None:
        """Tell nothing more."""
        if self._pause is not None:
            self._pause.cancel()
            self._pause = None

    def _change(self, by: int) -> None:
        self.running += by
        self._tell()

    def _tell(self) -> None:
        if self._pause is not None:
            self._news = True
            return
        self._news = False
        self._keeper.busy(running=self.running, received_bytes=self._received_bytes)
        self._pause = asyncio.get_running_loop().call_later(TELL_S, self._again)

    def _again(self) -> None:
        self._pause = None
        if self._news:
            self._tell()
