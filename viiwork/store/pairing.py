"""Whether a blob directory and a Redis belong together: each holds the same random id.

A fleet that is pointed at another Redis by mistake finds none of its blobs named there. Without this, a sweep would
take every one of them for garbage.
"""

from __future__ import annotations

import secrets
from contextlib import suppress
from pathlib import Path

from viiwork.errors import Conflict
from viiwork.statedir import write_private
from viiwork.store.blobdir import has_blobs
from viiwork.store.connection import Connection

FILE = "belongs-to"
KEY = "blobdir"


def may_pair(*, in_directory: str, in_redis: str, has_blobs: bool, some_are_named: bool) -> bool:
    """Whether the two may be taken for one fleet's: they say so, or neither says anything and nothing speaks against.

    Blobs of which not one is named in Redis speak against it.
    """
    if in_directory or in_redis:
        return in_directory == in_redis
    return some_are_named or not has_blobs


class Pairing:
    """The two halves of the id."""

    def __init__(self, store: Connection, root: Path) -> None:
        self._store, self._root = store, root
        self._key = f"{store.prefix}{KEY}"

    async def read(self) -> tuple[str, str]:
        """The id that the directory has and the one that Redis has; empty where there is none."""
        (known,) = await self._store.read([("GET", self._key)])
        file = self._root / FILE
        return file.read_text("ascii", errors="replace").strip() if file.is_file() else "", known or ""

    async def check(self, *, has_blobs: bool, some_are_named: bool) -> None:
        """Raises Conflict unless the two belong together."""
        here, there = await self.read()
        if not may_pair(in_directory=here, in_redis=there, has_blobs=has_blobs, some_are_named=some_are_named):
            raise Conflict(
                f"The blob directory {self._root} does not belong to this Redis, so nothing is removed.",
                hint="Check redis.url and --state-dir. If they do belong together, say so with `viiwork gc --adopt`.",
                code="strange_blobs",
            )

    async def meet(self) -> bool:
        """Whether the two belong together. A fleet that has no blob yet and no id gets one, however many try at once.

        Raises StoreUnavailable, and OSError for a directory that cannot be written.
        """
        here, there = await self.read()
        if not there and not (self._root.is_dir() and has_blobs(self._root)):
            here = self._named()
            await self._store.read([("SET", self._key, here, "NX")])
            here, there = await self.read()
        return bool(here) and here == there

    def _named(self) -> str:
        """The directory's id; whoever writes it first has chosen it."""
        self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
        file, fresh = self._root / FILE, self._root / f".{FILE}.{secrets.token_hex(8)}"
        write_private(fresh, secrets.token_hex(16) + "\n")
        with suppress(FileExistsError):
            file.hardlink_to(fresh)
        fresh.unlink()
        return file.read_text("ascii", errors="replace").strip()

    async def seal(self, *, anew: bool = False) -> None:
        """Write the id on both sides unless it is there; `anew` makes a new one."""
        here, there = await self.read()
        if here and here == there and not anew:
            return
        made = secrets.token_hex(16)
        await self._store.read([("SET", self._key, made)])
        self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_private(self._root / FILE, made + "\n")
