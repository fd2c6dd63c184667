"""A file of jobs, one JSON object a line: cut into lines and checked in constant memory. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from pydantic import ValidationError

from viiwork.api.bodies import complaint, faults_of
from viiwork.api.limits import in_mib, over
from viiwork.api.requests import LineBody
from viiwork.errors import UsageError

BOM = b"\xef\xbb\xbf"
UTF_16 = (b"\xff\xfe", b"\xfe\xff", b"{\x00", b"\x00{")
"""How a file of jobs in UTF-16 begins: with a byte order mark, or at once with its first brace."""
PLACE_IN_LINE = re.compile(r" at line 1 column (\d+)")
"""The parser speaks of its own line 1, which would be taken for the file's."""


class BadLine(UsageError):
    """Raised when a line of a file of jobs is no job; `number` counts from 1.

    Without a `field` the line is no JSON object; `hopeless` says that no other line of the file can be one either.
    """

    def __init__(
        self, number: int, field: str, reason: str, *, hopeless: bool = False, hint: str = "", code: str | None = None
    ) -> None:
        self.number, self.field, self.reason, self.hopeless = number, field, reason, hopeless
        where = f"line {number}: {field}" if field else f"line {number}"
        param = f"line.{number}.{field}" if field else f"line.{number}"
        super().__init__(f"{where}: {reason}.", hint=hint, code=code, param=param)


@dataclass(frozen=True, slots=True)
class Line:
    """One line that holds something; `number` counts from 1, blank lines too."""

    number: int
    raw: bytes


class LineCutter:
    """Cuts chunks of bytes into lines. Windows' line ends, a byte order mark and blank lines do no harm."""

    def __init__(self, *, max_line_bytes: int, max_lines: int) -> None:
        self._max_line_bytes, self._max_lines = max_line_bytes, max_lines
        self._pending = bytearray()
        self._number = 0

    def feed(self, chunk: bytes) -> Iterator[Line]:
        """The lines that end in `chunk`. Raises TooLarge, naming the line."""
        *ends, rest = chunk.split(b"\n")
        for end in ends:
            self._pending += end
            yield from self._cut()
        self._pending += rest
        self._check_length()

    def finish(self) -> Iterator[Line]:
        """The last line if no line break ends it."""
        if self._pending:
            yield from self._cut()

    def _cut(self) -> Iterator[Line]:
        self._check_length()
        self._number += 1
        raw = bytes(self._pending).removeprefix(BOM) if self._number == 1 else bytes(self._pending)
        self._pending.clear()
        if self._number > self._max_lines:
            raise over("the file", f"{self._max_lines} lines", "max_lines", param="body")
        if not raw.isspace() and raw:
            yield Line(self._number, raw)

    def _check_length(self) -> None:
        if len(self._pending) > self._max_line_bytes:
            number = self._number + 1
            limit = in_mib(self._max_line_bytes)
            raise over(f"line {number}", limit, "max_json_bytes", param=f"line.{number}")


def parse_line(line: Line) -> LineBody:
    """The job that a line asks for. Raises BadLine."""
    try:
        return LineBody.model_validate_json(line.raw)
    except ValidationError as error:
        if line.number == 1 and line.raw.startswith(UTF_16):
            raise BadLine(1, "", "this file is UTF-16; save it as UTF-8", hopeless=True) from error
        field, reason = complaint(faults_of(error), of=LineBody)
        raise BadLine(line.number, field, PLACE_IN_LINE.sub(r" at column \1", reason)) from error
