"""The HTTP door without a socket: the application itself, on a store in memory, with a stand-in worker beside it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import fakeredis
import httpx
from fastapi import FastAPI

from standin import StandIn, make_settings, make_store
from viiwork.api.app import create_app
from viiwork.store import Store


@dataclass
class Indoors:
    app: FastAPI
    store: Store
    worker: StandIn
    http: httpx.AsyncClient


@asynccontextmanager
async def indoors(root: Path, **sections: dict[str, object]) -> AsyncIterator[Indoors]:
    """Its worker has joined, and works when it is told to."""
    settings = make_settings(root, **sections)
    store = make_store(settings, fakeredis.FakeServer())
    worker = StandIn(store)
    await worker.join()
    app = create_app(settings, store)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8400") as http:
        yield Indoors(app, store, worker, http)
    await store.close()
