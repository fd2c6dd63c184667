"""The HTTP door with keys on, over fakeredis, and a key for whoever is asked for."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from fastapi import FastAPI

from indoors import indoors
from standin import MODEL, StandIn
from viiwork.apikeys import USUAL_SCOPES, KeyShown, Scope
from viiwork.limits import Limits
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
    async with indoors(root, api={"keys": "on"}) as door:
        yield Keyed(door.app, door.store, door.worker, door.http, root)


async def limited_key(door: Keyed, name: str = "anna", *, tenant: str = "", **limits: object) -> str:
    """A key with these limits: what it is sent as."""
    made = await apikeys.create(door.store, name, tenant=tenant, limits=Limits.model_validate(limits))
    return made.secret
