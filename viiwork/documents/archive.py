"""ZIP archives: which files they hold, and each one's bytes. Nothing is ever written to a disk."""

from __future__ import annotations

import io
import stat
import zipfile
from collections.abc import Sequence
from functools import partial
from itertools import pairwise

from viiwork.documents.held import Held, shown
from viiwork.documents.outcomes import Unread
from viiwork.documents.package import MAX_RATIO, RATIO_FROM_BYTES

LITTER = ("__MACOSX/",)
LITTER_NAMES = frozenset({".DS_Store", "Thumbs.db", "desktop.ini"})
"""What desktops leave behind in archives: nobody put it in."""
ENCRYPTED, UTF8 = 0x1, 0x800
LOCAL_HEADER_BYTES = 30
UNIX = 3


class BrokenDirectory(Unread):
    """Raised when an archive cannot be opened at all: it is damaged, or was cut off."""


def zip_files(data: bytes) -> list[Held]:
    """The files of an archive, in its own order; folders and what desktops leave behind are left out.

    Raises Unread `damaged`.
    """
    package = opened(data)
    entries = package.infolist()
    overlapping = _overlapping(entries)
    return [
        Held(number, shown(_name(entry)), partial(_unpacked, package, entry, overlapping=number in overlapping))
        for number, entry in enumerate(entries)
        if not entry.filename.endswith("/") and not is_litter(entry.filename)  # `is_dir` fails on an empty name
    ]


def zip_file(package: zipfile.ZipFile, number: int, most: int) -> bytes:
    """One file of it by its number: of 10,000 the names of all would cost more than this one. Raises Unread."""
    entries = package.infolist()
    if number >= len(entries):
        raise Unread("damaged")
    return _unpacked(package, entries[number], most, overlapping=number in _overlapping(entries))


def opened(data: bytes) -> zipfile.ZipFile:
    """With its directory read. Raises BrokenDirectory."""
    try:
        return zipfile.ZipFile(io.BytesIO(data))
    except MemoryError:
        raise
    except Exception as error:  # the library trusts what it parses: whatever it raises, this archive alone is broken
        raise BrokenDirectory("damaged") from error


def _unpacked(package: zipfile.ZipFile, entry: zipfile.ZipInfo, most: int, *, overlapping: bool) -> bytes:
    """Raises Unread: a broken file of an archive costs none of the others."""
    _check(entry, most, overlapping=overlapping)
    try:
        with package.open(entry) as file:
            data = file.read(most + 1)
    except NotImplementedError as error:
        raise Unread("unsupported", "packed in a way that is not known here") from error
    except MemoryError:
        raise
    except Exception as error:  # three unpackers and a parser: whatever they raise, this file alone is broken
        raise Unread("damaged") from error
    if len(data) > most:  # it said that it had less
        raise Unread("zip_bomb")
    return data


def _check(entry: zipfile.ZipInfo, most: int, *, overlapping: bool) -> None:
    """Refuse what the directory alone shows. Raises Unread."""
    if entry.create_system == UNIX and stat.S_ISLNK(entry.external_attr >> 16):
        raise Unread("unsupported", "a symbolic link")
    if entry.flag_bits & ENCRYPTED:
        raise Unread("encrypted")
    if overlapping or entry.file_size > max(RATIO_FROM_BYTES, MAX_RATIO * entry.compress_size):
        raise Unread("zip_bomb")
    if entry.file_size > most:
        raise Unread("too_big", f": unpacked it has {entry.file_size:,} bytes, and {most:,} are left for it")


def _overlapping(entries: Sequence[zipfile.ZipInfo]) -> set[int]:
    """The files whose bytes are those of others too: so a small archive unpacks to a huge one (Fifield, 2019)."""
    order = sorted(range(len(entries)), key=lambda number: entries[number].header_offset)
    found = set[int]()
    for first, second in pairwise(order):
        if _end(entries[first]) > entries[second].header_offset:
            found |= {first, second}
    return found


def _end(entry: zipfile.ZipInfo) -> int:
    """Where its bytes end, at the earliest."""
    return entry.header_offset + LOCAL_HEADER_BYTES + entry.compress_size


def _name(entry: zipfile.ZipInfo) -> str:
    """Programs that do not say so write UTF-8 as well; else the name stays as the format has it, in code page 437."""
    written = entry.orig_filename.partition("\0")[0]  # as the library does: what comes after it is no name
    if entry.flag_bits & UTF8:
        return written
    try:
        return written.encode("cp437").decode()
    except UnicodeError:
        return written


def is_litter(name: str) -> bool:
    """Whether a desktop left it behind, by its name in the archive."""
    return name.startswith(LITTER) or name.rpartition("/")[2] in LITTER_NAMES
