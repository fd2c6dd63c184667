"""Server-sent events, as they come over the wire. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Event:
    """One event of a stream."""

    name: str
    data: bytes
    id: str = ""
    """What a reader that comes back says it had last."""


def events_of(lines: Iterable[bytes]) -> Iterator[Event]:
    """The events in a stream's lines, without comments and pauses, and without one that is cut off at the end."""
    name, data, last = "", [], ""
    for line in lines:
        field, _, value = line.rstrip(b"\r").partition(b":")
        value = value.removeprefix(b" ")
        if field == b"event":
            name = value.decode()
        elif field == b"data":
            data.append(value)
        elif field == b"id":
            last = value.decode()
        elif not line.strip() and data:
            yield Event(name or "message", b"\n".join(data), last)
            name, data = "", []
