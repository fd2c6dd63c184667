"""The memory of an engine's card: how much is in use, and the wait until it is free again."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from viiwork_workers.engines.guard.aside import Aside

POLL_S = 0.25
VRAM_LIMIT_S = 30.0
VRAM_STILL_S = 2.0
VRAM_LEFT = 0.05


@dataclass(frozen=True, slots=True)
class Freeing:
    """How a card's memory comes back after the end of its engine. Pure."""

    before_bytes: int
    lowest_bytes: int
    fell_s: float

    def after(self, used_bytes: int, *, now_s: float) -> Freeing:
        """The record after one more look."""
        if used_bytes < self.lowest_bytes:
            return replace(self, lowest_bytes=used_bytes, fell_s=now_s)
        return self

    def over(self, now_s: float) -> bool:
        """Whether it is back, or falls no more."""
        return self.lowest_bytes <= self.before_bytes * VRAM_LEFT or now_s - self.fell_s >= VRAM_STILL_S


class Card:
    """One card, by the file in which its driver tells. A card that is lost may not answer a read for ever."""

    def __init__(self, file: str) -> None:
        self._file = file
        self._aside: Aside[int | None] = Aside()
        self._seen_bytes: int | None = None

    async def look(self) -> int | None:
        """How much is in use; None when it says nothing, as during a reset."""
        used_bytes = await self._aside.do(self._read) if self._file else None
        self._seen_bytes = used_bytes if used_bytes is not None else self._seen_bytes
        return used_bytes

    async def before_end(self) -> int | None:
        """What the engine had in use before it ends, or before it died; None where nobody knows."""
        seen_bytes, used_bytes = self._seen_bytes, await self.look()
        self._seen_bytes = None
        return used_bytes if seen_bytes is None or used_bytes is None else max(used_bytes, seen_bytes)

    async def freed(self, before_bytes: int | None) -> None:
        """Wait until its memory is free again, half a minute at most."""
        if before_bytes is None:
            return
        loop = asyncio.get_running_loop()
        begin_s = loop.time()
        freeing = Freeing(before_bytes, before_bytes, begin_s)
        while not freeing.over(loop.time()) and loop.time() - begin_s < VRAM_LIMIT_S:
            await asyncio.sleep(POLL_S)
            used_bytes = await self.look()
            if used_bytes is not None:
                freeing = freeing.after(used_bytes, now_s=loop.time())
        self._seen_bytes = None

    def _read(self) -> int | None:
        with suppress(OSError, ValueError):
            return int(Path(self._file).read_text(encoding="ascii"))
        return None
