"""The fleet's store for a moment, on the computer that has it: also while the fleet does not run."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from viiwork.settings import Settings
from viiwork.statedir import FleetLock, StateDir
from viiwork.store import embedded
from viiwork.store.facade import Store
from viiwork.store.opening import open_store


@asynccontextmanager
async def visit(settings: Settings) -> AsyncIterator[Store]:
    """The store. An embedded server that does not run is started for as long as it is needed.

    Raises StoreUnavailable, and StartupError while the fleet is about to start.
    """
    state = StateDir(settings.state_dir)
    if settings.redis.url != "embedded" or embedded.running(state) is not None:
        async with _opened(settings) as store:
            yield store
        return
    state.prepare()
    with FleetLock(state, fleet=settings.fleet.name):
        server = await asyncio.to_thread(embedded.start, settings)
        try:
            async with _opened(settings) as store:
                yield store
        finally:
            await asyncio.to_thread(server.stop)


@asynccontextmanager
async def _opened(settings: Settings) -> AsyncIterator[Store]:
    store = await open_store(settings)
    try:
        yield store
        await store.confirm()
    finally:
        await store.close()
