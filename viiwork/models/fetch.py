"""One file from a hub to its place: resumed where it stopped, its hash checked before it gets its name."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from viiwork.errors import ModelError, Unavailable
from viiwork.models.digest import git_sha1_of, sha256_of
from viiwork.models.hub import Hub
from viiwork.models.listing import HubFile, Listing

PAUSES_S = (0.0, 1.0, 2.0, 4.0, 8.0, 16.0)
"""Before each further try of a download that broke off; once something has come they begin anew."""


class TooMuch(Exception):
    """More came than the hub had announced."""


@dataclass(frozen=True, slots=True)
class Fetch:
    """What fetching a file takes: where from, where to, and who hears of it."""

    hub: Hub
    listing: Listing
    parts: Path
    """Where files lie while they are not whole; what is in it belongs to the same pull, begun earlier."""
    on_bytes: Callable[[int], None]
    """How many more there are; fewer than none when some were wrong."""
    on_remark: Callable[[str], None]
    sleep: Callable[[float], None] = time.sleep

    def part(self, file: HubFile) -> Path:
        """Named by what the bytes must hash to: other bytes are never taken for its beginning."""
        return self.parts / f"{file.digest}.part"

    def __call__(self, file: HubFile, target: Path) -> str:
        """Fetch it; answers its sha256. Raises ModelError when it is wrong twice, Unavailable when the hub is."""
        part = self.part(file)
        for last in (False, True):
            self._complete(file, part)
            if digest := digest_if_right(file, part):
                settle(part, target)
                return digest
            self.on_bytes(-forget(part))
            if last:
                break
            self.on_remark(f"{file.path} is not what the hub says it is: fetched again.")
        raise ModelError(
            f"{file.path} came twice with another hash than the hub tells.", hint="Try again later or another mirror."
        )

    def _complete(self, file: HubFile, part: Path) -> None:
        """Until all of it is there; a connection that breaks is made anew as long as it helps."""
        tries = 0
        while (before := size_of(part)) < file.size:
            try:
                self._append(file, part, before)
            except TooMuch:
                return
            except Unavailable:
                if size_of(part) == before and tries + 1 >= len(PAUSES_S):
                    raise
            tries = 0 if size_of(part) > before else tries + 1
            if tries >= len(PAUSES_S):
                raise Unavailable(
                    f"{file.path} does not come in full.", hint="Pull again: it goes on where it stopped."
                )
            self.sleep(PAUSES_S[tries])
        if not file.size:
            part.touch()

    def _append(self, file: HubFile, part: Path, start: int) -> None:
        with self.hub.body(self.listing, file, start=start) as body, part.open("ab") as sink:
            if body.start != start:
                sink.truncate(0)
                self.on_bytes(-start)
                start = 0
            for block in body.blocks:
                start += len(block)
                self.on_bytes(len(block))
                sink.write(block)
                if start > file.size:
                    raise TooMuch


def digest_if_right(file: HubFile, at: Path) -> str:
    """The sha256 of the bytes at `at`; empty unless they are those that the hub speaks of."""
    if size_of(at) != file.size or (not file.sha256 and git_sha1_of(at) != file.git_sha1):
        return ""
    digest = sha256_of(at)
    return digest if file.sha256 in ("", digest) else ""


def settle(part: Path, target: Path) -> None:
    """Give a file its name, once it is on disk."""
    with part.open("rb") as file:
        os.fsync(file.fileno())
    target.parent.mkdir(parents=True, exist_ok=True)
    part.replace(target)


def size_of(path: Path) -> int:
    """In bytes; 0 when it is not there."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def forget(part: Path) -> int:
    """Remove what was wrong; answers how much it was."""
    size = size_of(part)
    part.unlink(missing_ok=True)
    return size
