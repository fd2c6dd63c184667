"""A multipart/form-data body as a stream: one file open at a time, none of them whole in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from viiwork.errors import UsageError

CHUNK_BYTES = 64 * 1024
HEADER_NAME_CHARACTERS = 200
"""File names in part headers are cut to this; the exact ones travel in the `documents` field."""


@dataclass(frozen=True, slots=True)
class FileDocument:
    """A file to analyse. `name` is what rows call it; `custom_id` and `metadata` come back in its row."""

    path: Path
    name: str = ""
    custom_id: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)

    @property
    def shown_name(self) -> str:
        """A name that any JSON can carry: bytes that are no UTF-8 are replaced."""
        name = self.name or self.path.name
        return name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


@dataclass(frozen=True, slots=True)
class TextDocument:
    """A text to analyse, without a file."""

    text: str
    name: str = ""
    custom_id: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)


def multipart_body(
    fields: Mapping[str, str],
    files: Sequence[FileDocument],
    *,
    boundary: str,
    on_sent: Callable[[int], None] = lambda _sent_bytes: None,
) -> Iterator[bytes]:
    """The body: fields first, so that the far side can check them before the files arrive.

    `on_sent` hears of the file bytes handed over so far. Raises UsageError, naming the file that cannot be read.
    """
    yield from _gathered(_pieces(fields, files, boundary=boundary, on_sent=on_sent))


def quoted(name: str) -> str:
    """A name inside a quoted header parameter, escaped as browsers do it."""
    for character, escape in (('"', "%22"), ("\r", "%0D"), ("\n", "%0A")):
        name = name.replace(character, escape)
    return name


def _pieces(
    fields: Mapping[str, str], files: Sequence[FileDocument], *, boundary: str, on_sent: Callable[[int], None]
) -> Iterator[bytes]:
    for name, value in fields.items():
        yield _head(boundary, f'name="{quoted(name)}"')
        yield value.encode() + b"\r\n"
    sent_bytes = 0
    for file in files:
        filename = quoted(file.shown_name[:HEADER_NAME_CHARACTERS])
        yield _head(boundary, f'name="files"; filename="{filename}"', "Content-Type: application/octet-stream\r\n")
        for chunk in _content(file.path):
            yield chunk
            sent_bytes += len(chunk)
            on_sent(sent_bytes)
        yield b"\r\n"
    yield f"--{boundary}--\r\n".encode()


def _head(boundary: str, disposition: str, more: str = "") -> bytes:
    return f"--{boundary}\r\nContent-Disposition: form-data; {disposition}\r\n{more}\r\n".encode()


def _content(path: Path) -> Iterator[bytes]:
    try:
        with path.open("rb") as file:
            while chunk := file.read(CHUNK_BYTES):
                yield chunk
    except OSError as error:
        raise UsageError(f"{path}: {(error.strerror or str(error)).lower()}.") from error


def _gathered(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The same bytes in fewer pieces: each costs a system call, and small files make many."""
    pending = bytearray()
    for piece in pieces:
        pending += piece
        if len(pending) >= CHUNK_BYTES:
            yield bytes(pending)
            pending.clear()
    if pending:
        yield bytes(pending)
