"""The blob directory as a sweeper and a backup see it: what lies in it, and since when."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from viiwork.store.blobs import BLOB_ID

INCOMING = "incoming"


@dataclass(frozen=True, slots=True)
class Orphan:
    """A file that no record names: a finished blob, or an upload that broke off."""

    kind: Literal["blob", "upload"]
    path: Path
    bytes: int
    age_s: float

    def remove(self) -> None:
        """One that is gone already is no error."""
        self.path.unlink(missing_ok=True)


def disk_now_s(root: Path) -> float:
    """The time on the disk's own clock, which stamps the files: on a network disk it is another computer's."""
    probe = root / INCOMING / f"clock-{secrets.token_hex(8)}"
    probe.parent.mkdir(mode=0o700, exist_ok=True)
    probe.touch(mode=0o600)
    try:
        return probe.stat().st_mtime
    finally:
        probe.unlink(missing_ok=True)


def shelves(root: Path) -> list[Path]:
    """The directories that blobs lie in, `00` to `ff`, in order."""
    return sorted(path for path in root.iterdir() if len(path.name) == 2 and path.is_dir())


def blobs_on(shelf: Path) -> Iterator[os.DirEntry[str]]:
    """The blobs of one directory; files of any other name are nobody's business here."""
    with os.scandir(shelf) as entries:
        for entry in entries:
            if BLOB_ID.fullmatch(entry.name) and entry.name.startswith(shelf.name):
                yield entry


def has_blobs(root: Path) -> bool:
    """Whether there is any blob at all."""
    return any(next(blobs_on(shelf), None) for shelf in shelves(root))


def old_blobs(shelf: Path, *, now_s: float, grace_s: float) -> list[Orphan]:
    """The blobs of one directory that nobody has written to for longer than the grace."""
    return _older(blobs_on(shelf), "blob", now_s=now_s, grace_s=grace_s)


def old_uploads(root: Path, *, now_s: float, grace_s: float) -> list[Orphan]:
    """Uploads that broke off: whoever still writes to one keeps it young."""
    incoming = root / INCOMING
    if not incoming.is_dir():
        return []
    with os.scandir(incoming) as entries:
        unfinished = (entry for entry in entries if BLOB_ID.fullmatch(entry.name))
        return _older(unfinished, "upload", now_s=now_s, grace_s=grace_s)


def _older(
    entries: Iterator[os.DirEntry[str]], kind: Literal["blob", "upload"], *, now_s: float, grace_s: float
) -> list[Orphan]:
    found = []
    for entry in entries:
        try:
            stat = entry.stat(follow_symlinks=False)
        except FileNotFoundError:  # removed since the directory was read
            continue
        if now_s - stat.st_mtime > grace_s:
            found.append(Orphan(kind, Path(entry.path), stat.st_size, now_s - stat.st_mtime))
    return found
