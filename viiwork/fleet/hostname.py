"""A computer's name in its fleet, which it has alone: two of one name would take each other's workers for their own."""

from __future__ import annotations

import time
from contextlib import suppress

from viiwork.errors import StartupError, StoreUnavailable
from viiwork.statedir import StateDir
from viiwork.store import Store

KEPT_MS = 15_000
"""How long a name stays taken by a computer that says nothing any more."""
EVERY_S = 2.0
SECRET = "host.id"  # noqa: S105 - a file's name; it tells state directories apart and opens nothing


class HostName:
    """The name `host`, held in Redis under the id of this state directory."""

    def __init__(self, store: Store, state: StateDir, *, host: str) -> None:
        self._store, self._host = store, host
        self._id = state.secret(SECRET)
        self._key = f"{store.prefix}host:{host}"
        self._next_s = 0.0

    async def claim(self) -> None:
        """Take the name. Raises StartupError when another computer of this fleet has it, StoreUnavailable."""
        await self._store.read([("SET", self._key, self._id, "NX", "PX", str(KEPT_MS))])
        (holder,) = await self._store.read([("GET", self._key)])
        if holder != self._id:
            raise StartupError(
                f"another computer of this fleet, or another state directory, is called {self._host}.",
                hint="Give this one a name of its own with --host-name or fleet.host. "
                f"If the other was killed, its name is free after {KEPT_MS // 1000} s.",
            )

    async def keep(self) -> None:
        """Say every other second that it is still ours."""
        if time.monotonic() < self._next_s:
            return
        self._next_s = time.monotonic() + EVERY_S
        with suppress(StoreUnavailable):  # it is kept for a while without us
            await self._store.read([("SET", self._key, self._id, "PX", str(KEPT_MS))])

    async def release(self) -> None:
        """Let others have it."""
        with suppress(StoreUnavailable):
            await self._store.read([("DEL", self._key)])
