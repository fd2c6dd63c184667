"""A private server on the dump of a backup: started for the restore, ended and removed with it."""

from __future__ import annotations

import asyncio
import re
import secrets
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import TracebackType

from redis.asyncio import Redis

from viiwork.errors import StartupError
from viiwork.settings import load_settings
from viiwork.statedir import StateDir, write_private
from viiwork.store import embedded
from viiwork.store.endpoint import connect
from viiwork.store.server_config import ram_bytes
from viiwork.store.server_launch import SERVER_DIR

PREFIX = "restore-"
LOG = ("appendonlydir", "appendonly.aof")
"""An append-only file begins with a dump, so the embedded server loads one as it is."""


class Scratch:
    """`with Scratch(root) as scratch:` a place for a dump below `root`. What a killed one left is cleared away."""

    def __init__(self, root: Path) -> None:
        self._above = root
        self.root = root / f"{PREFIX}{secrets.token_hex(4)}"
        folder, name = LOG
        self.dump = self.root / SERVER_DIR / folder / f"{name}.1.base.rdb"

    def __enter__(self) -> Scratch:
        for left in self._above.glob(f"{PREFIX}*"):
            embedded.end_server(StateDir(left))
            shutil.rmtree(left, ignore_errors=True)
        StateDir(self.root).prepare()
        self.dump.parent.mkdir(mode=0o700, parents=True)
        write_private(self.dump.parent / f"{LOG[1]}.manifest", f"file {self.dump.name} seq 1 type b\n")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        shutil.rmtree(self.root, ignore_errors=True)

    @asynccontextmanager
    async def server(self, *, written_by: str, db: int) -> AsyncIterator[Redis]:
        """A client, which does not decode, of a server that has loaded the dump. Raises StartupError."""
        prefer(StateDir(self.root), written_by)
        settings = load_settings(
            {"fleet": {"state_dir": self.root}, "redis": {"url": "embedded", "max_memory_bytes": ram_bytes()}}
        )
        try:
            started = await asyncio.to_thread(embedded.start, settings)
        except StartupError as error:
            raise StartupError(f"The backup's data, written by {written_by}, cannot be loaded: {error}") from error
        try:
            client = connect(re.sub(r"(db=|/)0$", rf"\g<1>{db}", started.url))
            try:
                yield client
            finally:
                await client.aclose()
        finally:
            await asyncio.to_thread(started.stop, grace_s=0.0)


def prefer(state: StateDir, written_by: str) -> None:
    """Let the embedded server of a new state directory be of the kind that wrote the backup, if there is one here."""
    writer = state.root / SERVER_DIR / "server.txt"
    if not writer.exists():
        writer.parent.mkdir(mode=0o700, exist_ok=True)
        write_private(writer, f"{written_by}\n")
