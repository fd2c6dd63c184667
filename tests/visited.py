"""A fleet of worker processes behind a door, and what is done to its store."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from tests.workers import Fleet
from viiwork.store import Store
from viiwork.store.opening import make_store

T = TypeVar("T")


@dataclass
class Visited:
    """Each of its tests adds what it asks of it."""

    fleet: Fleet
    url: str

    def do(self, work: Callable[[Store], Awaitable[T]]) -> T:
        """Something done to the store."""

        async def run() -> T:
            store = make_store(self.fleet.settings, self.fleet.settings.redis.url)
            try:
                return await work(store)
            finally:
                await store.close()

        return asyncio.run(run())
