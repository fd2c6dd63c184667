"""The logs of an engine and of its guard: kept small while they are written, and read for what they tell."""

from __future__ import annotations

import os
import shutil
import time
from collections import deque
from contextlib import suppress
from pathlib import Path

from viiwork.statedir import rotate
from viiwork_workers.engines.known import LONGEST_LINE, Known, recognise

LIMIT_BYTES = 10 * 1024 * 1024
CHUNK_BYTES = 1024 * 1024
"""So much is read at a look; of more, the last."""
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

    def open(self) -> int:
        """A handle for a new life to write to; what was written before is forgotten. Raises OSError."""
        handle = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._offset, self._rest = os.fstat(handle).st_size, b""
        self._lines.clear()
        return handle

    def look(self) -> None:
        """Read what is new, and cut the file back when it has grown too large."""
        with suppress(OSError):
            self._read()
            if self._offset > self._limit_bytes:
                self._turn_over()

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

    def _turn_over(self) -> None:
        """By copy and truncation: the engine keeps its handle. What it writes in between is lost."""
        older = self._path.with_name(self._path.name + ".1")
        shutil.copyfile(self._path, older)
        older.chmod(0o600)
        os.truncate(self._path, 0)
        self._offset = 0


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
