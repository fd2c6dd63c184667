"""Copies of blobs on a host that reaches them through the API: bounded in bytes and age, shared by its workers."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

OLDEST_S = 24 * 3600.0
"""What nobody has used for so long goes: a document must not lie about long after its fleet has removed it."""
KEPT = 0.75
"""Part of the bound that a round of tidying leaves, so that it is not due again at once."""
SHARE = 1 / 32
"""Part of the bound that one process adds before it tidies: several share the directory, and none counts for all."""


@dataclass(frozen=True, slots=True)
class Copy:
    """One file of the cache."""

    path: Path
    bytes: int
    used_s: float


class BlobCache:
    """A directory of whole blobs by id. `incoming/` has what is on its way, `held/` what somebody reads.

    A held file is a second name of the same bytes, so that no tidying takes it away from whoever reads it.
    """

    def __init__(self, root: Path, *, limit_bytes: int) -> None:
        self.root = root
        self._limit_bytes = limit_bytes
        self._added_bytes = 0

    def incoming(self) -> Path:
        """Where a blob may be written on its way in; a name of its own each time."""
        return self._fresh("incoming")

    def hold(self, blob_id: str) -> Path | None:
        """A name for the copy that stays until the caller removes it; None when there is no copy."""
        held, copy = self._fresh("held"), self.root / blob_id
        try:
            os.link(copy, held)
            os.utime(held)  # both names are one file: it counts as used now
        except FileNotFoundError:
            held.unlink(missing_ok=True)
            return None
        return held

    def take_in(self, blob_id: str, arrived: Path) -> Path:
        """Make a blob that has arrived whole a copy, and hold it."""
        held = self._fresh("held")
        os.link(arrived, held)
        arrived.replace(self.root / blob_id)
        self._added_bytes += held.stat().st_size
        if self._added_bytes >= self._limit_bytes * SHARE:
            self._added_bytes = 0
            self.tidy()
        return held

    def drop(self, blob_id: str) -> None:
        """Forget a copy, if there is one."""
        (self.root / blob_id).unlink(missing_ok=True)

    def tidy(self) -> None:
        """Remove what is old, broken off, or too much."""
        now_s = time.time()
        kept = [copy for place in ("", "incoming", "held") for copy in _copies(self.root / place)]
        for copy in to_go([copy for copy in kept if copy.path.parent == self.root], self._limit_bytes, now_s=now_s):
            copy.path.unlink(missing_ok=True)
        for copy in kept:
            if copy.path.parent != self.root and now_s - copy.used_s > OLDEST_S:
                copy.path.unlink(missing_ok=True)

    def clear_unfinished(self) -> None:
        """What processes that were killed left; for whoever knows that none of them lives."""
        for place in ("incoming", "held"):
            for copy in _copies(self.root / place):
                copy.path.unlink(missing_ok=True)

    def _fresh(self, place: str) -> Path:
        (self.root / place).mkdir(mode=0o700, parents=True, exist_ok=True)
        return self.root / place / secrets.token_hex(16)


def to_go(copies: list[Copy], limit_bytes: int, *, now_s: float) -> list[Copy]:
    """Those that are too old, and, if the rest is more than the bound, the least lately used of it. Pure."""
    old = [copy for copy in copies if now_s - copy.used_s > OLDEST_S]
    rest = sorted((copy for copy in copies if now_s - copy.used_s <= OLDEST_S), key=lambda copy: copy.used_s)
    total = sum(copy.bytes for copy in rest)
    excess = total - limit_bytes * KEPT if total > limit_bytes * (KEPT + SHARE) else 0.0
    for copy in rest:
        if excess <= 0:
            break
        old.append(copy)
        excess -= copy.bytes
    return old


def _copies(place: Path) -> Iterator[Copy]:
    with suppress(FileNotFoundError), os.scandir(place) as entries:
        for entry in entries:
            with suppress(FileNotFoundError):
                if entry.is_file(follow_symlinks=False):
                    stat = entry.stat(follow_symlinks=False)
                    yield Copy(Path(entry.path), stat.st_size, stat.st_mtime)
