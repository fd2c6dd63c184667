"""A blob directory as it was at one moment: hard links, so that what is removed meanwhile stays for the backup."""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from viiwork.errors import StoreUnavailable
from viiwork.store.blobdir import blobs_on, shelves

PREFIX = ".backup-"
LOCK = "lock"


class Snapshot:
    """`with Snapshot(root) as snapshot: snapshot.take(); …; snapshot.take()`. Blobs never change: a link is a copy.

    Its lock tells a sweeper that whoever made it still lives.
    """

    def __init__(self, root: Path) -> None:
        self._blobs = root
        self.root = root / f"{PREFIX}{secrets.token_hex(8)}"
        self._handle = -1

    def __enter__(self) -> Snapshot:
        try:
            self.root.mkdir(mode=0o700, parents=True)
            self._handle = os.open(self.root / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise _refused(self._blobs, error) from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        shutil.rmtree(self.root, ignore_errors=True)
        os.close(self._handle)

    def take(self) -> int:
        """Keep every blob that is there now and was not before; answers how many."""
        taken = 0
        for shelf in shelves(self._blobs):
            mine = self.root / shelf.name
            mine.mkdir(mode=0o700, exist_ok=True)
            known = {path.name for path in mine.iterdir()}
            for entry in blobs_on(shelf):
                if entry.name not in known:
                    taken += self._link(entry.path, mine / entry.name)
        return taken

    def files(self) -> Iterator[Path]:
        """The blobs that were kept, in order."""
        for shelf in shelves(self.root):
            yield from sorted(Path(entry.path) for entry in blobs_on(shelf))

    def _link(self, source: str, target: Path) -> int:
        try:
            os.link(source, target)
        except FileNotFoundError:  # removed since the directory was read: nothing names it any more
            return 0
        except OSError as error:
            raise _refused(self._blobs, error) from error
        return 1


def clear_stale(root: Path) -> int:
    """Remove the snapshots of backups that were killed; answers how many."""
    removed = 0
    for left in root.glob(f"{PREFIX}*"):
        with suppress(OSError):
            handle = os.open(left / LOCK, os.O_RDWR | os.O_CLOEXEC)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(left)
                removed += 1
            finally:
                os.close(handle)
    return removed


def _refused(root: Path, error: OSError) -> StoreUnavailable:
    return StoreUnavailable(
        f"The blobs under {root} cannot be kept for the backup: {os.strerror(error.errno or 0)}.",
        hint="Their file system must allow hard links; else stop the fleet and copy its state directory.",
    )
