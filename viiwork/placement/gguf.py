"""The header of a GGUF file: its metadata and the sizes of its tensors, read with bounds and without the weights.

Source: ggml's `docs/gguf.md`, versions 2 and 3, little-endian.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass, field
from typing import BinaryIO

from viiwork.errors import ModelError

MAGIC = b"GGUF"
VERSIONS = (2, 3)
SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
STRING, ARRAY = 8, 9
HEADER_BYTES = 64 * 1024**2
"""Three times what the largest vocabularies take."""
MOST_KEYS, MOST_TENSORS, MOST_DIMENSIONS = 65_536, 262_144, 4
KEPT_TEXT, KEPT_NUMBERS = 4096, 4096
"""Longer texts (chat templates) and lists (vocabularies) are passed over; of a list its length is kept."""

Scalar = int | float | bool | str
Value = Scalar | tuple[Scalar, ...]


@dataclass(frozen=True, slots=True)
class Tensor:
    """The name and the extents of a tensor, fastest first."""

    name: str
    extents: tuple[int, ...]

    @property
    def elements(self) -> int:
        """How many numbers it holds."""
        return math.prod(self.extents)


@dataclass(frozen=True, slots=True)
class Header:
    """What stands before the weights."""

    source: str
    values: dict[str, Value] = field(default_factory=dict)
    lengths: dict[str, int] = field(default_factory=dict)
    """How long each list is, also of those that were passed over."""
    tensors: tuple[Tensor, ...] = ()


def read_header(stream: BinaryIO, *, source: str, size_bytes: int) -> Header:
    """The header of a file of `size_bytes`; `source` is what errors call it.

    Raises ModelError where it is no GGUF file, is cut off, or holds what none does.
    """
    take = _Bytes(stream, source, min(size_bytes, HEADER_BYTES))
    if take.raw(4) != MAGIC:
        raise take.wrong("it is no GGUF file")
    if (version := take.number("I")) not in VERSIONS:
        raise take.wrong(f"GGUF version {version} is not known (2 and 3 are)")
    tensors = take.count("tensors", MOST_TENSORS)
    keys = take.count("metadata keys", MOST_KEYS)
    header = Header(source)
    for _ in range(keys):
        _read_pair(take, header)
    return Header(source, header.values, header.lengths, tuple(_tensor(take) for _ in range(tensors)))


def _read_pair(take: _Bytes, header: Header) -> None:
    key = take.text()
    if key is None:
        raise take.wrong("a metadata key is too long")
    kind = take.number("I")
    if kind == ARRAY:
        header.lengths[key], values = _list(take, key)
        if values is not None:
            header.values[key] = values
    elif (value := _scalar(take, kind, key)) is not None:
        header.values[key] = value


def _scalar(take: _Bytes, kind: int, key: str) -> Scalar | None:
    if kind == STRING:
        return take.text()
    if kind not in SCALARS:
        raise take.wrong(f"{key} is of a type that is not known ({kind})")
    return take.number(SCALARS[kind])


def _list(take: _Bytes, key: str) -> tuple[int, tuple[Scalar, ...] | None]:
    kind = take.number("I")
    length = take.count(f"entries in {key}", HEADER_BYTES)
    if kind == STRING:
        for _ in range(length):
            take.skip(take.number("Q"))
        return length, None
    if kind not in SCALARS:
        raise take.wrong(f"{key} is a list of a type that is not known ({kind})")
    if length > KEPT_NUMBERS:
        take.skip(length * struct.calcsize("<" + SCALARS[kind]))
        return length, None
    return length, tuple(take.number(SCALARS[kind]) for _ in range(length))


def _tensor(take: _Bytes) -> Tensor:
    name = take.text()
    if name is None:
        raise take.wrong("a tensor's name is too long")
    extents = tuple(take.number("Q") for _ in range(_dimensions(take, name)))
    take.raw(12)  # its type and where it begins
    return Tensor(name, extents)


def _dimensions(take: _Bytes, name: str) -> int:
    dimensions = take.number("I")
    if dimensions > MOST_DIMENSIONS:
        raise take.wrong(f"tensor {name!r} has {dimensions} dimensions")
    return dimensions


class _Bytes:
    """The stream, with a bound on how far it is read."""

    def __init__(self, stream: BinaryIO, source: str, limit: int) -> None:
        self._stream = stream
        self._source = source
        self._left = limit

    def raw(self, length: int) -> bytes:
        """Exactly so many bytes. Raises ModelError where the file ends before."""
        self._pass(length)
        found = self._stream.read(length)
        if len(found) != length:
            raise self.wrong("it is cut off in its header")
        return found

    def skip(self, length: int) -> None:
        """Past so many bytes, unread. Raises ModelError where the file ends before."""
        self._pass(length)
        self._stream.seek(length, 1)

    def number(self, form: str) -> int:
        """One number of this form of `struct`; also floats and truth values, which callers ask for by their form."""
        value: int = struct.unpack("<" + form, self.raw(struct.calcsize("<" + form)))[0]
        return value

    def count(self, what: str, most: int) -> int:
        """How many of something follow. Raises ModelError where nobody has so many."""
        found = self.number("Q")
        if found > most:
            raise self.wrong(f"it claims {found} {what}")
        return found

    def text(self) -> str | None:
        """A text, or nothing where it is too long to be kept."""
        length = self.number("Q")
        if length > KEPT_TEXT:
            self.skip(length)
            return None
        return self.raw(length).decode("utf-8", errors="replace")

    def wrong(self, reason: str) -> ModelError:
        """What is said of a file that is not as it should be."""
        return ModelError(f"{self._source}: {reason}.", hint="Fetch the file again, or name another.")

    def _pass(self, length: int) -> None:
        if length > self._left:
            raise self.wrong("it is cut off in its header")
        self._left -= length
