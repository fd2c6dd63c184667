"""The HTTP door with keys on, over fakeredis, and a key for whoever is asked for."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import fakeredis
import httpx
from fastapi import FastAPI

from standin import MODEL, StandIn, make_settings, make_store
from viiwork.api.app import create_app
from viiwork.apikeys import USUAL_SCOPES, KeyShown, Scope
from viiwork.store import Store, apikeys

JOB = {"model": MODEL, "messages": [{"role": "user", "content": "hello"}]}
TEXTS = {"task": "summarize", "documents": [{"text": "one"}, {"text": "two"}]}


@dataclass
class Keyed:
    """The application, its store, a worker, and people with keys."""

    app: FastAPI
    store: Store
    worker: StandIn
    http: httpx.AsyncClient
    root: Path
    made: dict[str, KeyShown] = field(default_factory=dict)

    async def key(
        self, name: str, scopes: Sequence[Scope] = USUAL_SCOPES, *, tenant: str = "", expires_s: float | None = None
    ) -> str:
        """The secret of a new key."""
        self.made[name] = await apikeys.create(self.store, name, tenant=tenant, scopes=scopes, expires_s=expires_s)
        return self.made[name].secret

    async def ask(self, secret: str, method: str, path: str, **request: Any) -> httpx.Response:
        """One request with a key."""
        headers = {"authorization": f"Bearer {secret}", **request.pop("headers", {})}
        return await self.http.request(method, path, headers=headers, **request)


@asynccontextmanager
async def keyed_door(root: Path) -> AsyncIterator[Keyed]:
    """One that asks for keys, although it is called on loopback."""
    settings = make_settings(root, api={"keys": "on"})
    store = make_store(settings, fakeredis.FakeServer())
    worker = StandIn(store)
    await worker.join()
    app = create_app(settings, store)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8400") as http:
        yield Keyed(app, store, worker, http, root)
    await store.close()
