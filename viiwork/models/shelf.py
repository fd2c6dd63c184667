"""Where models lie on this computer: `<dir>/<org>--<name>/<commit>/`, one directory a commit, shared by all fleets."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from viiwork.models.disk import disk_errors
from viiwork.models.names import COMMIT, ModelName
from viiwork.models.record import ModelRecord, read_record

SHORTEST_COMMIT = 7
"""A commit may be given by as few of its letters, as git has it."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One commit of one model."""

    folder: Path
    record: ModelRecord | None
    """None: an unfinished pull."""

    @property
    def commit(self) -> str:
        """What it is pinned to."""
        return self.folder.name

    @property
    def repo(self) -> str:
        """Its name; of an unfinished pull made from the directory's."""
        return self.record.repo if self.record else self.folder.parent.name.replace("--", "/", 1)

    @property
    def files_at(self) -> Path:
        """The directory that holds its files, usable as an engine's `--model`."""
        return Path(self.record.directory) if self.record and self.record.directory else self.folder


class Shelf:
    """The models' directory."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def folder(self, name: ModelName, commit: str) -> Path:
        """Where this commit is, or will be."""
        return self.root / name.folder / commit

    def entries(self, name: ModelName | None = None) -> Iterator[Entry]:
        """All that is there, or all of one model, by name and then by age."""
        models = [self.root / name.folder] if name else sorted(_folders(self.root))
        for model in models:
            found = [Entry(at, read_record(at)) for at in _folders(model) if COMMIT.fullmatch(at.name)]
            yield from sorted(found, key=_age)

    def matching(self, name: ModelName) -> list[Entry]:
        """The finished pulls that a name with a revision stands for, the one that it stood for last at the end."""
        found = [(when, entry) for entry in self.entries(name) if (when := _stood_for(entry, name.revision))]
        return [entry for _, entry in sorted(found, key=lambda pair: pair[0])]


def _stood_for(entry: Entry, revision: str) -> datetime | None:
    """When this was last seen to be the commit of the revision; None when it never was."""
    if entry.record is None:
        return None
    if len(revision) >= SHORTEST_COMMIT and entry.commit.startswith(revision):
        return entry.record.pulled
    return entry.record.revisions.get(revision)


def _age(entry: Entry) -> tuple[float, str]:
    return (entry.record.pulled.timestamp() if entry.record else 0.0, entry.commit)


def _folders(root: Path) -> list[Path]:
    with disk_errors(root), suppress(FileNotFoundError, NotADirectoryError):
        return [at for at in root.iterdir() if at.is_dir() and not at.name.startswith(".")]
    return []
