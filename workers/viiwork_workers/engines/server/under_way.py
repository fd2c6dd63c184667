"""What is under way in one life of an engine, to be ended all at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Over(Exception):
    """Raised in what was under way when the life ended."""


class UnderWay:
    """Any number of tasks, each with a part that `end` cuts off."""

    def __init__(self) -> None:
        self._scopes: set[asyncio.Timeout] = set()
        self._why = ""

    @asynccontextmanager
    async def one_more(self) -> AsyncIterator[None]:
        """The part that is cut off. Raises Over when it was, or when the end has come already."""
        if self._why:
            raise Over(self._why)
        scope = asyncio.timeout(None)  # without a time: asyncio's way to cancel one part of a task
        try:
            async with scope:
                self._scopes.add(scope)
                yield
        except TimeoutError as error:
            if not scope.expired():
                raise
            raise Over(self._why) from error
        finally:
            self._scopes.discard(scope)

    def end(self, why: str) -> None:
        """Cut off all, and whatever comes after."""
        self._why = why
        now_s = asyncio.get_running_loop().time()
        while self._scopes:
            self._scopes.pop().reschedule(now_s)
