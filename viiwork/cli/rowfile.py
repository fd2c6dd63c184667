"""A file of result rows that can be taken up where it was left."""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import IO

from viiwork.errors import UsageError
from viiwork.jobs import behind

BLOCK_BYTES = 1024 * 1024
HEAD_BYTES = 256
"""Of a row, with the analysis and the position in them."""


class RowFile:
    """An open file that rows are added to, each in one write."""

    def __init__(self, path: Path, file: IO[bytes], rows: int, after: int) -> None:
        self.path, self.rows = path, rows
        self.after = after
        """Where to go on behind the last row that was there."""
        self._file = file

    def add(self, line: bytes) -> None:
        """Append one row."""
        self._file.write(line + b"\n")
        self._file.flush()
        self.rows += 1


@contextmanager
def open_rows(path: Path, analysis_id: str) -> Iterator[RowFile]:
    """Open `path` for the rows of an analysis: a new file, or one that holds its first rows already.

    A torn last line is cut off. Raises UsageError for a file that holds anything else.
    """
    try:
        file = path.open("r+b", buffering=0) if path.exists() else path.open("xb", buffering=0)
    except OSError as error:
        raise UsageError(f"{path}: {(error.strerror or str(error)).lower()}.", param="--out") from error
    with file:
        found = take_up(file, path, (analysis_id,)) if file.readable() and file.seekable() else (0, 0)
        yield RowFile(path, file, *found)


def check_new(path: Path) -> None:
    """Raises UsageError if rows of a new analysis would go into a file that holds something."""
    if path.is_file() and path.stat().st_size:
        hint = "Name another, or continue an earlier analysis with `viiwork results ID --out`."
        raise UsageError(f"{path}: this file exists already.", hint=hint, param="--out")
    check_place(path)


def check_place(path: Path) -> None:
    """Raises UsageError, before anything is sent, for a file that could not be written in the end."""
    if path.is_dir():
        raise UsageError(f"{path}: is a directory.", hint="Name a file in it.", param="--out")
    if not path.parent.is_dir():
        raise UsageError(f"{path}: its directory does not exist.", param="--out")
    if path.exists() and not path.is_file():
        return  # a pipe, or a terminal
    try:
        with NamedTemporaryFile(dir=path.parent, prefix=".viiwork-"):
            pass
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise UsageError(f"{path}: its directory cannot be written: {reason}.", param="--out") from error


def take_up(file: IO[bytes], path: Path, owners: Collection[str]) -> tuple[int, int]:
    """Cut a torn last line, check whose rows these are; answers how many there are, and where to go on behind them."""
    rows, last_start, whole_bytes = _count(file)
    if whole_bytes < os.fstat(file.fileno()).st_size and not _torn_row(file, whole_bytes):
        raise _not_rows(path)
    for line in _first_and_last(file, whole_bytes):
        _check_owner(line, path, owners)
    file.truncate(whole_bytes)
    file.seek(last_start)
    after = behind(file.read(HEAD_BYTES), after=rows - 1) if rows else 0
    file.seek(whole_bytes)
    return rows, after


def _count(file: IO[bytes]) -> tuple[int, int, int]:
    """Complete lines, where the last of them begins, and the bytes that they take."""
    rows = last_start = whole_bytes = seen_bytes = 0
    file.seek(0)
    while block := file.read(BLOCK_BYTES):
        rows += block.count(b"\n")
        last = block.rfind(b"\n")
        if last >= 0:
            before = block.rfind(b"\n", 0, last)
            last_start = seen_bytes + before + 1 if before >= 0 else whole_bytes
            whole_bytes = seen_bytes + last + 1
        seen_bytes += len(block)
    return rows, last_start, whole_bytes


def _torn_row(file: IO[bytes], start: int) -> bool:
    """Whether what follows the last line break can be the beginning of a row."""
    file.seek(start)
    beginning = b'{"analysis": "an_'
    torn = file.read(len(beginning))
    return beginning.startswith(torn)


def _first_and_last(file: IO[bytes], whole_bytes: int) -> Iterator[bytes]:
    if not whole_bytes:
        return
    file.seek(0)
    yield _line(file)
    start = max(0, whole_bytes - BLOCK_BYTES)
    file.seek(start)
    tail = file.read(whole_bytes - start).rstrip(b"\n")
    if b"\n" in tail:  # a last row of more than a block is not looked at; its first one was
        yield tail.rpartition(b"\n")[2]


def _line(file: IO[bytes]) -> bytes:
    line = bytearray()
    while b"\n" not in line and (block := file.read(64 * 1024)):
        line += block
    return bytes(line.partition(b"\n")[0])


def _check_owner(line: bytes, path: Path, owners: Collection[str]) -> None:
    try:
        owner = json.loads(line)["analysis"]
    except (ValueError, KeyError, TypeError) as error:
        raise _not_rows(path) from error
    if owner not in owners:
        hint = "Name another file."
        raise UsageError(f"{path}: holds the rows of another analysis, {str(owner)[:64]}.", hint=hint, param="--out")


def _not_rows(path: Path) -> UsageError:
    return UsageError(f"{path}: holds something else than result rows.", hint="Name another file.", param="--out")
