"""Whether a model's files are what its record says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from viiwork.models.digest import sha256_of
from viiwork.models.record import FileRecord
from viiwork.models.shelf import Entry


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was found wrong, by the files' names."""

    finished: bool = True
    missing: tuple[str, ...] = ()
    wrong: tuple[str, ...] = ()
    """Of another size or, if that was looked at, another hash."""

    @property
    def good(self) -> bool:
        """Whether an engine can be started with it."""
        return self.finished and not self.missing and not self.wrong


def check(entry: Entry, *, hashes: bool, tell: Callable[[FileRecord], None] = lambda _: None) -> Verdict:
    """By names and sizes or, with `hashes`, by every byte; `tell` hears of each file before it is read."""
    if entry.record is None:
        return Verdict(finished=False)
    missing, wrong = [], []
    for file in entry.record.files:
        at = entry.files_at / file.path
        try:
            if at.stat().st_size != file.size or (hashes and not _hash_fits(at, file, tell)):
                wrong.append(file.path)
        except OSError:
            missing.append(file.path)  # or it cannot be read, which is as bad for an engine
    return Verdict(missing=tuple(missing), wrong=tuple(wrong))


def _hash_fits(at: Path, file: FileRecord, tell: Callable[[FileRecord], None]) -> bool:
    tell(file)
    return sha256_of(at) == file.sha256
