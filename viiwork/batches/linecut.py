"""The lines of a file, cut from its bytes in constant memory: one that is too long is told of, and not kept."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class FileLine:
    """A line that holds something; `number` counts from 1, blank lines too. Of one that is too long nothing is kept."""

    number: int
    raw: bytes
    too_long: bool = False


class LineCut:
    """Cuts chunks of bytes into lines. Windows' line ends, a byte order mark and blank lines do no harm."""

    def __init__(self, *, max_line_bytes: int) -> None:
        self._most = max_line_bytes
        self._pending = bytearray()
        self._number = 0
        self._too_long = False

    def feed(self, chunk: bytes) -> Iterator[FileLine]:
        """The lines that end in `chunk`."""
        *ends, rest = chunk.split(b"\n")
        for end in ends:
            self._take(end)
            yield from self._cut()
        self._take(rest)

    def finish(self) -> Iterator[FileLine]:
        """The last line if no line break ends it."""
        if self._pending or self._too_long:
            yield from self._cut()

    def _take(self, piece: bytes) -> None:
        if self._too_long:
            return
        self._pending += piece
        if len(self._pending) > self._most:
            self._too_long = True
            self._pending.clear()

    def _cut(self) -> Iterator[FileLine]:
        self._number += 1
        raw, too_long = bytes(self._pending), self._too_long
        self._pending.clear()
        self._too_long = False
        if self._number == 1:
            raw = raw.removeprefix(BOM)
        if too_long or (raw and not raw.isspace()):
            yield FileLine(self._number, raw, too_long)
