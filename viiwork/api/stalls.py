"""Whether whoever is at the other end of a connection dawdles: what is awaited of it, and how it comes along. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

ENOUGH_BYTES = 16 * 1024
"""Of a body or of an answer; what moves by less in all that time has stalled."""


class Awaited(Enum):
    """What the service waits for."""

    NOTHING = auto()
    HEAD = auto()
    """A whole request head; pieces of one do not count."""
    BODY = auto()
    READER = auto()
    """That the client takes in what was sent to it."""


@dataclass(frozen=True, slots=True)
class Stand:
    """What was awaited when, and how much had moved by then."""

    awaited: Awaited
    moved_bytes: int
    since_s: float

    def later(self, awaited: Awaited, *, moved_bytes: int, now_s: float) -> Stand:
        """The stand from which the time counts: this one for as long as nothing moves."""
        moves = awaited is not Awaited.HEAD and abs(moved_bytes - self.moved_bytes) >= ENOUGH_BYTES
        if awaited is self.awaited and not moves:
            return self
        return Stand(awaited, moved_bytes, now_s)

    def stalled(self, *, now_s: float, slow_s: float) -> bool:
        """Whether nobody need wait any longer."""
        return self.awaited is not Awaited.NOTHING and now_s - self.since_s >= slow_s
