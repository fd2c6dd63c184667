"""`viiwork models rm`: what goes, and how much room that gives."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from viiwork.errors import Conflict, NotFound
from viiwork.models.disk import disk_errors
from viiwork.models.lock import locked
from viiwork.models.names import ModelName
from viiwork.models.record import RECORD_FILE
from viiwork.models.shelf import SHORTEST_COMMIT, Entry, Shelf
from viiwork.models.use import users_of
from viiwork.settings import Settings


def meant(name: ModelName, shelf: Shelf) -> list[Entry]:
    """What a name stands for, unfinished pulls included: without a revision all of the model. Raises NotFound."""
    there = list(shelf.entries(name))
    found = [entry for entry in there if not name.revision or _is(entry, name.revision)]
    if not found:
        others = ", ".join(entry.commit[:12] for entry in there)
        raise NotFound(
            f"the model {name} is not on this computer.",
            hint=f"Here is {others} of it." if others else "`viiwork models list` shows what is.",
        )
    return found


def ensure_unused(entries: Iterable[Entry], *, settings: Settings) -> None:
    """Raises Conflict while an engine or a fleet has one of them."""
    for entry in entries:
        if users := users_of(entry, settings=settings):
            pids = ", ".join(map(str, users[:5]))
            raise Conflict(f"{entry.repo} is in use (pid {pids}).", hint="Stop what uses it: `viiwork down`.")


def remove(name: ModelName, entries: list[Entry], shelf: Shelf) -> int:
    """Remove them; answers the bytes that the disk got back. A directory of one's own stays, only its record goes."""
    with disk_errors(shelf.root), locked(shelf.root, name):
        freed = freed_by([entry.folder for entry in entries])
        for entry in entries:
            (entry.folder / RECORD_FILE).unlink(missing_ok=True)  # first: half of it must not look like all
            shutil.rmtree(entry.folder)
        with suppress(OSError):
            (shelf.root / name.folder).rmdir()  # fails while another commit is there
    return freed


def freed_by(folders: Iterable[Path]) -> int:
    """Bytes that removing them gives back: what other commits share by hard links stays."""
    seen: dict[int, tuple[int, int, int]] = {}
    for folder in folders:
        for path in folder.rglob("*"):
            stat = path.lstat()
            if path.is_file() and not path.is_symlink():
                _, _, links = seen.get(stat.st_ino, (0, 0, 0))
                seen[stat.st_ino] = (stat.st_size, stat.st_nlink, links + 1)
    return sum(size for size, linked, found in seen.values() if linked <= found)


def _is(entry: Entry, revision: str) -> bool:
    by_commit = len(revision) >= SHORTEST_COMMIT and entry.commit.startswith(revision)
    return by_commit or (entry.record is not None and revision in entry.record.revisions)
