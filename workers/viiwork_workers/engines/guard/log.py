"""The logs of an engine and of its guard: kept small while they are written, and read for what they tell."""

from __future__ import annotations

import os
import time
from collections import deque
from contextlib import suppress
from pathlib import Path

from viiwork.statedir import rotate
from viiwork_workers.engines.guard.aside import Aside
from viiwork_workers.engines.guard.blotting import Blotter, blotted
from viiwork_workers.engines.guard.known import LONGEST_LINE, Known, recognise

LIMIT_BYTES = 10 * 1024 * 1024
CHUNK_BYTES = 1024 * 1024
"""So much is read at a look; of more, the last."""
KEPT_BYTES = 1024 * 1024
"""So much of what is cut off is kept."""
KEPT_LINES = 2_000
RECENT_S = 300.0
"""What an engine wrote longer ago has nothing to do with its end."""


class EngineLog:
    """The engine writes to the file itself (O_APPEND), so that it never waits for its guard, be it dead or stopped."""

    def __init__(self, path: Path, *, limit_bytes: int = LIMIT_BYTES) -> None:
        self._path = path
        self._limit_bytes = limit_bytes
        self._offset = 0
        self._rest = b""
        self._lines: deque[tuple[float, str]] = deque(maxlen=KEPT_LINES)
        self._aside: Aside[None] = Aside()
        self._blotter = Blotter(path)

    def open(self) -> int:
        """A handle for a new life to write to; what was written before is forgotten. Raises OSError."""
        handle = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._offset, self._rest = os.fstat(handle).st_size, b""
        self._lines.clear()
        return handle

    def look(self) -> None:
        """Read what is new, and blot out what it tells of requests."""
        with suppress(OSError):
            self._read()
        with suppress(OSError):
            self._blotter.follow()

    async def trim(self) -> None:
        """Cut the file back when it has grown too large."""
        if self._offset > self._limit_bytes:
            await self._aside.do(lambda: turn_over(self._path))

    def known(self, *, recent: bool) -> Known | None:
        """What this life's lines say of its end; with `recent`, those of the last minutes."""
        self.look()
        since = time.monotonic() - RECENT_S if recent else float("-inf")
        said = [text for at, text in self._lines if at >= since]
        return recognise([*said, self._text(self._rest)])

    def _read(self) -> None:
        with self._path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size < self._offset:
                self._offset = 0  # somebody has emptied it
            if size - self._offset > CHUNK_BYTES:
                self._offset, self._rest = size - CHUNK_BYTES, b""
            file.seek(self._offset)
            new = file.read(CHUNK_BYTES)
        self._offset += len(new)
        *lines, rest = (self._rest + new).split(b"\n")
        self._rest = rest[-LONGEST_LINE:]
        now = time.monotonic()
        self._lines.extend((now, self._text(line)) for line in lines if line.strip())

    def _text(self, line: bytes) -> str:
        return line[:LONGEST_LINE].decode("utf-8", "replace")


def turn_over(path: Path) -> None:
    """By copy and truncation: the engine keeps its handle. What it writes in between is lost.

    Of a large file the last part is copied. Nothing is when the disk is full, where truncating it is what helps.
    """
    older = path.with_name(path.name + ".1")
    try:
        with path.open("rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - KEPT_BYTES))
            kept = file.read(KEPT_BYTES)
        handle = os.open(older, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(handle, "wb") as copy:
            copy.write(blotted(kept)[0])
    except OSError:
        with suppress(OSError):
            older.unlink()
    with suppress(OSError):
        os.truncate(path, 0)


class Diary:
    """The guard's own log: a line an event, in our own words."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def note(self, text: str) -> None:
        """A full disk must not end a guard."""
        with suppress(OSError):
            rotate(self._path, limit_bytes=LIMIT_BYTES)
            handle = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {text}\n")
