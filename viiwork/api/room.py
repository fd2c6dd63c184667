"""How much memory the JSON bodies of all requests under way take in this process: each alone may have 16 MiB."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from starlette.requests import Request
from starlette.types import Scope

from viiwork.errors import Busy

SHARE = "room"
AGAIN_S = 1.0


class Room:
    """What all requests share."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self.taken_bytes = 0

    @contextmanager
    def shared(self, scope: Scope) -> Iterator[None]:
        """One request's time; what it took is free again at its end."""
        share = Share(self)
        scope.setdefault("state", {})[SHARE] = share
        try:
            yield
        finally:
            self.taken_bytes -= share.taken_bytes

    def take(self, size_bytes: int) -> None:
        """Raises Busy where it is not to be had now."""
        if self.taken_bytes + size_bytes > self._limit_bytes:
            message = "Too many large requests are under way here."
            hint = "Send it again in a moment, or send documents as files: they are streamed (api.max_bodies_bytes)."
            raise Busy(message, hint=hint, retry_after_s=AGAIN_S)
        self.taken_bytes += size_bytes


class Share:
    """What one request has of it."""

    def __init__(self, room: Room) -> None:
        self._room = room
        self.taken_bytes = 0

    def take(self, size_bytes: int) -> None:
        """Raises Busy."""
        self._room.take(size_bytes)
        self.taken_bytes += size_bytes


def share_of(request: Request) -> Share:
    """The share of a request that came in by the door."""
    share: Share = getattr(request.state, SHARE)
    return share
