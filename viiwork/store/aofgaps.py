"""Runs of zero bytes in an append-only file, and how they are closed.

A server that met a full disk takes the part of its last write back (`ftruncate`) and writes on where it had stopped.
What it opens for a rewrite it opens without O_APPEND (`openNewIncrAofForAppend` in Valkey's `aof.c`; seen with 9.1.2),
so what was taken back stays as a gap of zeros, and at its next start it refuses the whole file. A file system may also
fill a file's end with zeros in a power cut (redis/redis#5177). Between two commands, and after the last one, zeros
stand for nothing: what is left without them is what the server wrote.
"""

from __future__ import annotations

import logging
import mmap
import os
import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from viiwork.errors import StartupError

log = logging.getLogger(__name__)

FOLDER = "appendonlydir"
PARTS = "*.incr.aof"
UNFINISHED = ".mended"
BYTES_A_SECOND = 15 * 1024 * 1024
"""Looked through, measured; of small commands."""
COPY_BYTES = 4 * 1024 * 1024
_NOT_ZERO = re.compile(rb"[^\0]")
_NUMBER = re.compile(rb"(\d{1,19})\r\n")


class _Torn(Exception):
    """The bytes end in the middle of a command."""


@dataclass(frozen=True, slots=True)
class Gap:
    """A run of zeros: bytes `start` to `end`."""

    start: int
    end: int


def close_gaps(data: Path) -> int:
    """Take the gaps out of the append-only file under a server's directory; answers how many bytes of zeros there were.

    No server may run on it. Each part is replaced in one step. Raises StartupError when the disk has no room for that.
    """
    clear_unfinished(data)
    return sum(_close(part) for part in sorted((data / FOLDER).glob(PARTS)))


def clear_unfinished(data: Path) -> None:
    """Remove what a mending that was killed left behind: as large as the file itself. No other may be under way."""
    for left in (data / FOLDER).glob(f"{PARTS}{UNFINISHED}"):
        with suppress(OSError):  # a start does not fail for it
            left.unlink()


def find_gaps(written: bytes | mmap.mmap) -> tuple[Gap, ...]:
    """The gaps of one part; none if anything but zeros is amiss in it, since then zeros are not all that is wrong."""
    end = _last_command_byte(written)
    gaps, at = [], 0
    while at < end:
        byte = written[at]
        try:
            if byte == 0:
                begun, at = at, _skip_zeros(written, at)
                gaps.append(Gap(begun, at))
            elif byte == ord("#"):
                at = _after_line(written, at, end)
            elif byte == ord("*"):
                at = _after_command(written, at, end)
            else:
                return ()
        except _Torn:  # the server drops half a command at the end by itself
            break
        except ValueError:
            return ()
    return (*gaps, Gap(end, len(written))) if end < len(written) else tuple(gaps)


def _close(part: Path) -> int:
    size = part.stat().st_size
    if not size:
        return 0
    log.warning(
        "looking through %s (%.0f MiB) for zeros that a full disk or a power cut left: about %.0f s",
        *(part, size / 1024**2, size / BYTES_A_SECOND),
    )
    with part.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as written:
        gaps = find_gaps(written)
        if gaps:
            _write_without(part, written, gaps)
    zeros = sum(gap.end - gap.start for gap in gaps)
    if zeros:
        log.warning("%s held %d bytes of zeros that a full disk or a power cut left; they were taken out", part, zeros)
    return zeros


def _write_without(part: Path, written: mmap.mmap, gaps: tuple[Gap, ...]) -> None:
    fresh = part.with_name(f"{part.name}{UNFINISHED}")
    begins, ends = (0, *(gap.end for gap in gaps)), (*(gap.start for gap in gaps), len(written))
    try:
        fresh.touch(mode=0o600)
        with fresh.open("wb") as file:
            for begin, end in zip(begins, ends, strict=True):
                for at in range(begin, end, COPY_BYTES):
                    file.write(written[at : min(end, at + COPY_BYTES)])
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(part)
    except OSError as error:
        fresh.unlink(missing_ok=True)
        raise StartupError(
            f"the append-only file has gaps of zeros that a full disk left, and cannot be mended: {error.strerror}.",
            hint=f"Make {len(written) / 1024**2:.0f} MiB of room on the disk of {part.parent}, then start again.",
        ) from error
    _sync_folder(part.parent)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _last_command_byte(written: bytes | mmap.mmap) -> int:
    """Where the zeros at the end begin. A command ends with a line feed, so no zero there is a command's."""
    end = len(written)
    while end:
        begin = max(0, end - 65_536)
        block = written[begin:end].rstrip(b"\0")
        if block:
            return begin + len(block)
        end = begin
    return 0


def _skip_zeros(written: bytes | mmap.mmap, at: int) -> int:
    found = _NOT_ZERO.search(written, at)
    return found.start() if found else len(written)


def _after_line(written: bytes | mmap.mmap, at: int, end: int) -> int:
    found = written.find(b"\n", at, end)
    if found < 0:
        raise _Torn
    return found + 1


def _after_command(written: bytes | mmap.mmap, at: int, end: int) -> int:
    """Where the command that begins at `at` is over. Raises ValueError when it is none."""
    count, at = _number(written, at, end, mark=b"*")
    for _ in range(count):
        length, at = _number(written, at, end, mark=b"$")
        at += length + 2
        if at > end:
            raise _Torn
        if written[at - 2 : at] != b"\r\n":
            raise ValueError("an argument is longer than it says")
    return at


def _number(written: bytes | mmap.mmap, at: int, end: int, *, mark: bytes) -> tuple[int, int]:
    """The number on the line that begins at `at`, and where the next line begins."""
    found = _NUMBER.match(written, at + 1, end)
    if found and written[at : at + 1] == mark:
        return int(found[1]), found.end()
    if b"\r\n" in written[at : min(end, at + 24)] or end - at >= 24 or (at < end and written[at : at + 1] != mark):
        raise ValueError("this is no command")
    raise _Torn
