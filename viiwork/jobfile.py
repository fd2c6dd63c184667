"""A file of jobs as it is sent: its size, its digest, and its bytes as a stream."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from viiwork.errors import UsageError

CHUNK_BYTES = 256 * 1024
MEDIA_TYPE = "application/x-ndjson"
TASK = "jobs"
"""What a batch that came as a file of jobs says that it does."""


@dataclass(frozen=True, slots=True)
class JobFile:
    """A file that has been read once; the far side checks that the same comes again."""

    path: Path
    size_bytes: int
    sha256: bytes
    lines: int | None = None
    """How many lines it has, blank ones too, where somebody has counted."""

    @classmethod
    def of(cls, path: Path) -> JobFile:
        """The file at `path`. Raises UsageError for one that cannot be read."""
        digest, size_bytes = hashlib.sha256(), 0
        for chunk in chunks_of(path):
            digest.update(chunk)
            size_bytes += len(chunk)
        return cls(path, size_bytes, digest.digest())

    def headers(self) -> dict[str, str]:
        """What is said of the body before it comes."""
        counted = {} if self.lines is None else {"x-viiwork-lines": str(self.lines)}
        digest = f"sha-256=:{base64.b64encode(self.sha256).decode()}:"
        return {"content-type": MEDIA_TYPE, "content-digest": digest, **counted}

    def body(self, on_sent: Callable[[int], None] = lambda _sent_bytes: None) -> Iterator[bytes]:
        """As many bytes as were there before; `on_sent` hears of those handed over so far. Raises UsageError."""
        sent_bytes = 0
        for chunk in chunks_of(self.path):
            piece = chunk[: self.size_bytes - sent_bytes]
            yield piece
            sent_bytes += len(piece)
            on_sent(sent_bytes)
            if sent_bytes == self.size_bytes:
                return
        if sent_bytes < self.size_bytes:
            raise UsageError(f"{self.path}: became shorter while it was sent.", hint="Send it again.")


def chunks_of(path: Path) -> Iterator[bytes]:
    """A file's bytes. Raises UsageError, naming the file, when it cannot be read."""
    try:
        with path.open("rb") as file:
            yield from chunks(file)
    except OSError as error:
        raise UsageError(f"{path}: {(error.strerror or str(error)).lower()}.") from error


def chunks(file: IO[bytes]) -> Iterator[bytes]:
    """The bytes of an open file, piece by piece."""
    while chunk := file.read(CHUNK_BYTES):
        yield chunk


def write_jobs(path: Path, jobs: Iterable[Mapping[str, Any]]) -> None:
    """A file of these jobs, one a line. Raises UsageError for none at all, and for what is no job or no JSON."""
    number = -1
    with path.open("w", encoding="utf-8") as file:
        for number, job in enumerate(jobs):
            file.write(f"{_line(number, job)}\n")
    if number < 0:
        raise UsageError("jobs: there is nothing to submit.", param="jobs")


def _line(number: int, job: object) -> str:
    if not isinstance(job, Mapping):
        hint = 'Such as {"messages": [{"role": "user", "content": "Hello"}]}.'
        raise UsageError(f"jobs: number {number} is no object of fields.", hint=hint, param=f"line.{number}")
    try:
        return json.dumps(dict(job), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise UsageError(f"jobs: number {number} cannot be sent as JSON: {error}.", param=f"line.{number}") from error
