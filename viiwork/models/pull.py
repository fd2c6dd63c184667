"""`viiwork models pull`: list, choose, make sure of the room, fetch and check each file, record."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from viiwork.errors import Full
from viiwork.models.choice import Choice, Wanted, choose
from viiwork.models.disk import disk_errors
from viiwork.models.fetch import Fetch, digest_if_right, settle, size_of
from viiwork.models.hub import Hub
from viiwork.models.listing import HubFile, Listing, checked
from viiwork.models.lock import locked
from viiwork.models.names import DEFAULT_REVISION, ModelName
from viiwork.models.record import FileRecord, ModelRecord, read_record, write_record
from viiwork.models.shelf import Entry, Shelf

PARTS = ".parts"
MARGIN_BYTES = 1024**3
"""Stays free on the disk."""
GIB = 1024**3


class Watcher(Protocol):
    """Hears how a pull goes."""

    def planned(self, commit: str, *, files: int, total_bytes: int, here_bytes: int) -> None: ...
    def begun(self, path: str, size: int) -> None: ...
    def came(self, more_bytes: int) -> None: ...
    def done(self, path: str, size: int, how: str) -> None: ...
    def remark(self, text: str) -> None: ...


@dataclass(frozen=True, slots=True)
class Pulled:
    """What a pull came to."""

    entry: Entry
    fetched_bytes: int
    """Those that came over the network this time."""


def pull(name: ModelName, *, hub: Hub, shelf: Shelf, wanted: Wanted, watcher: Watcher) -> Pulled:
    """Fetch what is missing of a model and record it. Whatever breaks it off, the next one goes on from there."""
    listing = checked(hub.listing(name), asked=name.revision)
    choice = choose(listing, wanted)
    with disk_errors(shelf.root), locked(shelf.root, name):
        return _Pull(name, listing, hub=hub, shelf=shelf, watcher=watcher).run(choice)


class _Pull:
    """One pull on its way."""

    def __init__(self, name: ModelName, listing: Listing, *, hub: Hub, shelf: Shelf, watcher: Watcher) -> None:
        self._name, self._listing, self._hub, self._shelf, self._watcher = name, listing, hub, shelf, watcher
        self._folder = shelf.folder(name, listing.commit)
        self._before = read_record(self._folder)
        self._fetched = 0
        parts = self._folder / PARTS
        self._fetch = Fetch(hub, listing, parts, on_bytes=self._came, on_remark=watcher.remark)

    def run(self, choice: Choice) -> Pulled:
        """Each file in turn, then the record; what lay about goes."""
        self._ensure_room(choice)
        (self._folder / PARTS).mkdir(parents=True, exist_ok=True)
        try:
            records = [self._obtain(file) for file in choice.files]
        except BaseException:
            self._forget_nothing()
            raise
        for remark in choice.remarks:
            self._watcher.remark(remark)
        record = self._record(records)
        _sync(self._folder)
        write_record(self._folder, record)
        shutil.rmtree(self._folder / PARTS, ignore_errors=True)
        return Pulled(Entry(self._folder, record), self._fetched)

    def _forget_nothing(self) -> None:
        """No unfinished pull is left of one that fetched nothing, such as of a gated model."""
        with suppress(OSError):
            for folder in (self._folder / PARTS, self._folder, self._folder.parent):
                folder.rmdir()  # fails, and ends this, when something is in it

    def _came(self, more: int) -> None:
        self._fetched += max(0, more)
        self._watcher.came(more)

    def _ensure_room(self, choice: Choice) -> None:
        """Raises Full, before anything is fetched, when it would not fit."""
        total = sum(file.size for file in choice.files)
        here = sum(self._here(file) for file in choice.files)
        needed = total - here
        free = shutil.disk_usage(_existing(self._folder)).free
        if needed and needed + MARGIN_BYTES > free:
            raise Full(
                f"{self._name.repo} needs {(needed + MARGIN_BYTES) / GIB:.1f} GiB (1 GiB of it stays free), "
                f"and the disk of {self._shelf.root} has {free / GIB:.1f} GiB.",
                hint="Make room (`viiwork models rm`) or set models.dir to another disk.",
            )
        commit = self._listing.commit
        self._watcher.planned(commit, files=len(choice.files), total_bytes=total, here_bytes=here)

    def _here(self, file: HubFile) -> int:
        """How much of it need not be fetched."""
        if size_of(self._folder / file.path) == file.size or self._twin(file):
            return file.size
        return min(file.size, size_of(self._fetch.part(file)))

    def _obtain(self, file: HubFile) -> FileRecord:
        target = self._folder / file.path
        self._watcher.begun(file.path, file.size)
        if digest := self._held(file, target):
            how = "is here"
        elif digest := self._link(file, target):
            how = "is the same as in another commit"
        else:
            digest, how = self._fetch(file, target), "fetched"
        self._watcher.done(file.path, file.size, how)
        return FileRecord(path=file.path, size=file.size, sha256=digest)

    def _held(self, file: HubFile, target: Path) -> str:
        """The sha256 of the file that is here already. It is read again: a pull also mends what a disk has spoilt."""
        if not target.is_file() or target.is_symlink() or size_of(target) != file.size:
            return ""
        digest = digest_if_right(file, target)
        if not digest:
            self._watcher.remark(f"{file.path} is not what it was when it came: fetched again.")
            self._watcher.came(-file.size)
            target.unlink()
        return digest

    def _twin(self, file: HubFile) -> Path | None:
        """The same file of another commit of this model: most commits change no weights."""
        if not file.sha256:
            return None
        for entry in self._shelf.entries(self._name):
            held = entry.record.files if entry.record and not entry.record.directory else ()
            if any(known.sha256 == file.sha256 for known in held):
                path = next(known.path for known in held if known.sha256 == file.sha256)
                if size_of(entry.folder / path) == file.size:
                    return entry.folder / path
        return None

    def _link(self, file: HubFile, target: Path) -> str:
        """Share the bytes with another commit; empty when none has them, or has them no longer as they were."""
        twin, part = self._twin(file), self._fetch.part(file)
        if twin is None:
            return ""
        with suppress(OSError):
            linked = part.with_suffix(".link")
            linked.unlink(missing_ok=True)
            os.link(twin, linked)
            if digest := digest_if_right(file, linked):
                settle(linked, target)
                return digest
            linked.unlink()
        self._watcher.came(-file.size)
        return ""

    def _record(self, fetched: list[FileRecord]) -> ModelRecord:
        """With what earlier pulls of this commit took, as far as it is still there."""
        new = {file.path: file for file in fetched}
        old = self._before.files if self._before else ()
        kept = [file for file in old if file.path not in new and size_of(self._folder / file.path) == file.size]
        asked = {self._name.revision or DEFAULT_REVISION: datetime.now(UTC)}
        return ModelRecord(
            repo=self._name.repo,
            revisions={**(self._before.revisions if self._before else {}), **asked},
            commit=self._listing.commit,
            source=self._hub.address,
            license=self._listing.license,
            files=tuple(sorted([*new.values(), *kept], key=lambda file: file.path)),
        )


def _existing(path: Path) -> Path:
    return next(at for at in (path, *path.parents) if at.exists())


def _sync(folder: Path) -> None:
    """Make the names of the files last, before the record says that they are there."""
    handle = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
