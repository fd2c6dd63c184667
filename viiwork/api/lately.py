"""Something that many ask for and that may be a little old: looked at once for all who ask in the same moment."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextvars import Context
from typing import Generic, TypeVar

T = TypeVar("T")


class Lately(Generic[T]):
    """What `look` saw, at most `age_s` ago; at most one look is under way for those who do not ask for a fresh one."""

    def __init__(self, look: Callable[[], Awaitable[T]], *, age_s: float) -> None:
        self._look, self._age_s = look, age_s
        self._seen: tuple[T, float] | None = None
        """And until when that will do, on the monotonic clock."""
        self._looking: asyncio.Task[T] | None = None

    async def get(self, *, fresh: bool = False) -> T:
        """What there is to see. Raises what `look` raises."""
        if fresh:
            return await self._see()
        if self._seen is not None and time.monotonic() < self._seen[1]:
            return self._seen[0]
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._see(), context=Context())  # it is no part of this request
        return await asyncio.shield(self._looking)  # whoever leaves does not take it away from the others

    async def _see(self) -> T:
        seen = await self._look()
        self._seen = (seen, time.monotonic() + self._age_s)
        return seen
