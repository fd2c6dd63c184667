"""A file of jobs, checked on this computer before a byte of it is sent."""

from __future__ import annotations

import hashlib
import tempfile
from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import IO

from viiwork.api.lines import BadLine, Line, LineCutter, parse_line
from viiwork.errors import TooLarge, UsageError
from viiwork.jobfile import JobFile, chunks, chunks_of

MIB = 1024 * 1024
SHOWN_FAULTS = 10
FIRST_LINES = 3
"""When none of so many is a JSON object, the file is something else, and what is wrong with each line no help."""
MAX_LINE_BYTES = 64 * MIB
"""Far over what a service takes by default; a file that is no text may have no line end at all."""
MAX_LINES = 2**53
SPOOL_BYTES = 4096 * MIB
"""As much as a service takes by default."""


@dataclass(slots=True)
class Faults:
    """What is wrong with a file: how much, and the first of it."""

    count: int = 0
    shown: list[str] = field(default_factory=list)
    lines: int = 0
    """How many lines were looked at, blank ones left out."""
    strange: int = 0
    """How many of these are no JSON objects."""

    def add(self, number: int, reason: str) -> None:
        """Take one fault in."""
        self.count += 1
        if len(self.shown) < SHOWN_FAULTS:
            self.shown.append(f"{number}: {reason}")


class CustomIds:
    """Which custom_id comes twice, in eight bytes a line: hashes first, then a second look at those that clash."""

    def __init__(self) -> None:
        self._hashes = array("q")

    def add(self, custom_id: str) -> None:
        """Note the next line's; those without one are all different."""
        if custom_id:
            self._hashes.append(hash(custom_id))

    def clashing(self) -> set[int]:
        """The hashes that came more than once."""
        return {one for one, other in pairwise(sorted(self._hashes)) if one == other}


@contextmanager
def readable(name: str, stdin: IO[bytes]) -> Iterator[tuple[Path, str]]:
    """The file of this name, and what to call it; what can be read only once is kept in a temporary one meanwhile."""
    path = Path(name)
    if name != "-" and (path.is_file() or path.is_dir() or not path.exists()):
        yield path, name  # whoever reads it says what is wrong with it
        return
    with tempfile.NamedTemporaryFile(prefix="viiwork-") as spool:
        if name == "-":
            _copy(stdin, spool, shown="stdin")
        else:
            with path.open("rb") as source:
                _copy(source, spool, shown=name)
        yield Path(spool.name), "stdin" if name == "-" else name


def check(path: Path, shown: str, faults: Faults) -> JobFile:
    """The file, read once from end to end; what is wrong with it is in `faults` then. Raises UsageError, TooLarge."""
    digest, names, size_bytes, last = hashlib.sha256(), CustomIds(), 0, 0
    cutter = LineCutter(max_line_bytes=MAX_LINE_BYTES, max_lines=MAX_LINES)
    for chunk in chunks_of(path):
        digest.update(chunk)
        size_bytes += len(chunk)
        for line in cutter.feed(chunk):
            _look(line, names, faults, shown)
            last = line.number
    for line in cutter.finish():
        _look(line, names, faults, shown)
        last = line.number
    if not last:
        raise UsageError(f"{shown}: there is no job in it.", hint="Write one JSON object a line.", param="FILE")
    _check_kind(faults, shown, lines=min(max(2, faults.lines), FIRST_LINES))
    if clashing := names.clashing():
        _name_twins(path, clashing, faults)
    return JobFile(path, size_bytes, digest.digest(), last)


def _look(line: Line, names: CustomIds, faults: Faults, shown: str) -> None:
    faults.lines += 1
    try:
        names.add(parse_line(line).custom_id)
    except BadLine as error:
        if error.hopeless:
            raise UsageError(f"{shown}: {error.reason}.", param="FILE") from error
        faults.strange += not error.field
        faults.add(error.number, ": ".join(filter(None, (error.field, error.reason))))
    _check_kind(faults, shown, lines=FIRST_LINES)


def _check_kind(faults: Faults, shown: str, *, lines: int) -> None:
    """Raises UsageError when there were so many lines, and none of them is a JSON object."""
    if faults.lines == faults.strange == lines:
        raise UsageError(f"{shown}: this is not JSON Lines: one JSON object a line.", param="FILE")


def _name_twins(path: Path, clashing: set[int], faults: Faults) -> None:
    """A second look at the file: at which lines do the same ids stand?"""
    first: dict[str, int] = {}
    cutter = LineCutter(max_line_bytes=MAX_LINE_BYTES, max_lines=MAX_LINES)
    for line in _lines(path, cutter):
        try:
            custom_id = parse_line(line).custom_id
        except BadLine:
            continue
        if hash(custom_id) not in clashing:
            continue
        if (before := first.setdefault(custom_id, line.number)) != line.number:
            faults.add(line.number, f"custom_id: the same stands in line {before}")


def _lines(path: Path, cutter: LineCutter) -> Iterator[Line]:
    for chunk in chunks_of(path):
        yield from cutter.feed(chunk)
    yield from cutter.finish()


def _copy(source: IO[bytes], spool: IO[bytes], *, shown: str) -> None:
    size_bytes = 0
    for chunk in chunks(source):
        size_bytes += len(chunk)
        if size_bytes > SPOOL_BYTES:
            limit = f"{SPOOL_BYTES // MIB} MiB"
            raise TooLarge(f"{shown}: more than {limit}.", hint="Write it to a file and submit that.", param="FILE")
        spool.write(chunk)
    spool.flush()
