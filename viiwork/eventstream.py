"""Server-sent events, as they come over the wire. Pure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Event:
    """One event of a stream."""

    name: str
    data: bytes
    id: str = ""
    """What a reader that comes back says it had last."""


class EventReader:
    """Makes events of a stream's lines, without comments and pauses, and without one that is cut off at the end."""

    def __init__(self) -> None:
        self._name, self._last = "", ""
        self._data: list[bytes] = []

    def hear(self, line: bytes) -> Event | None:
        """The event that ends with this line."""
        field, _, value = line.rstrip(b"\r").partition(b":")
        value = value.removeprefix(b" ")
        if field == b"event":
            self._name = value.decode()
        elif field == b"data":
            self._data.append(value)
        elif field == b"id":
            self._last = value.decode()
        elif not line.strip() and self._data:
            event = Event(self._name or "message", b"\n".join(self._data), self._last)
            self._name, self._data = "", []
            return event
        return None
