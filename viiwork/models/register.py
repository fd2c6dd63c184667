"""A directory of one's own, or a GGUF file, under a name: hashed and recorded where it is, nothing is copied."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from viiwork.errors import Conflict, UsageError
from viiwork.models.digest import sha256_of
from viiwork.models.disk import disk_errors
from viiwork.models.lock import locked
from viiwork.models.names import ModelName, is_safe
from viiwork.models.record import GGUF, FileRecord, ModelRecord, write_record
from viiwork.models.shelf import Entry, Shelf

MARKS = ("config.json", "params.json", f"*{GGUF}")
"""A directory that has none of these is no model's."""
LOCAL = "local"
"""Its revision."""


def register(path: Path, name: ModelName, *, shelf: Shelf, tell: Callable[[str, int], None]) -> Entry:
    """Record what is at `path` as `name`; what was registered under that name before is forgotten.

    `tell` hears of each file and its size before it is read. Raises UsageError when no model is there.
    """
    with disk_errors(shelf.root), locked(shelf.root, name):
        directory, paths = _files(path.expanduser().resolve())
        earlier = _earlier(name, shelf)
        files = tuple(_record(directory, at, tell) for at in paths)
        entry = _write(directory, files, name, shelf)
        for old in earlier:
            if old.folder != entry.folder:
                shutil.rmtree(old.folder)
    return entry


def _files(path: Path) -> tuple[Path, list[Path]]:
    """The directory, and those of its files that count: no hidden ones, links followed."""
    if path.is_file():
        if path.suffix != GGUF:
            raise UsageError(f"{path} is neither a directory nor a GGUF file.")
        return path.parent, [path]
    if not any(next(path.glob(mark), None) for mark in MARKS):
        raise UsageError(f"{path} holds no model.", hint=f"There is none of {', '.join(MARKS)} in it.")
    found = (Path(at, name) for at, _, names in os.walk(path) for name in names)
    return path, sorted(at for at in found if at.is_file() and is_safe(at.relative_to(path).as_posix()))


def _earlier(name: ModelName, shelf: Shelf) -> list[Entry]:
    entries = list(shelf.entries(name))
    if any(entry.record and entry.record.source for entry in entries):
        raise Conflict(f"{name.repo} was pulled from a hub.", hint="Give the directory another --name.")
    return entries


def _record(directory: Path, at: Path, tell: Callable[[str, int], None]) -> FileRecord:
    path, size = at.relative_to(directory).as_posix(), at.stat().st_size
    tell(path, size)
    return FileRecord(path=path, size=size, sha256=sha256_of(at))


def _write(directory: Path, files: tuple[FileRecord, ...], name: ModelName, shelf: Shelf) -> Entry:
    """In a place of ours: the directory may be somebody else's, and read-only."""
    text = "".join(f"{file.sha256} {file.path}\n" for file in files)
    commit = hashlib.sha256(text.encode()).hexdigest()[:40]
    folder = shelf.folder(name, commit)
    folder.mkdir(parents=True, exist_ok=True)
    record = ModelRecord(
        repo=name.repo,
        revisions={LOCAL: datetime.now(UTC)},
        commit=commit,
        source="",
        directory=str(directory),
        files=files,
    )
    write_record(folder, record)
    return Entry(folder, record)
