"""Admission: which lane may take one more job. Our own count of what was popped and has not ended.

kombu's own count is never used: after one dropped connection it forgets what still runs (12 held against a cap
of 6, measured). This one outlives every connection.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from viiwork.jobs import Lane

NONE: frozenset[Lane] = frozenset()
BATCH_TURN = 7
"""With a single slot, batch gets every eighth start while it waits."""


@dataclass(frozen=True, slots=True)
class Held:
    """How many jobs of each lane are in this worker's hands, and what the batch lane is doing."""

    interactive: int
    batch: int
    batch_asks: bool = False
    """The batch lane has a pop under way that nothing has answered: nothing waits there."""
    streak: int = 0
    """Interactive jobs taken since the last batch job."""

    @property
    def total(self) -> int:
        return self.interactive + self.batch


def reserve(limit: int) -> int:
    """Slots that batch leaves free for interactive jobs: a quarter, at least one, never the last."""
    return max(0, min(max(1, limit // 4), limit - 1))


def may_take(lane: Lane, held: Held, *, limit: int, closed: frozenset[Lane] = NONE) -> bool:
    """Whether a worker with `limit` slots may take one more job of `lane`; beside a closed lane the other has all."""
    if lane in closed or held.total >= limit:
        return False
    if closed:
        return True
    if lane is Lane.BATCH:
        return held.batch < limit - reserve(limit)
    if limit >= 2 and held.batch == 0 and held.total == limit - 1:
        return held.batch_asks  # the last slot is batch's, unless nothing waits there
    if limit == 1 and held.streak >= BATCH_TURN:
        return held.batch_asks
    return True


def owner_of_last(held: Held, *, limit: int, closed: frozenset[Lane] = NONE) -> Lane | None:
    """Whose the slot is, while both lanes wait, when only one is free; None when there are more, or none."""
    if limit - held.total != 1:
        return None
    people = may_take(Lane.INTERACTIVE, replace(held, batch_asks=False), limit=limit, closed=closed)
    return Lane.INTERACTIVE if people else Lane.BATCH


@dataclass(slots=True)
class Ledger:
    """The hints in this worker's hands, by lane. Written by the hub's thread and the engine's loop.

    Each operation is one dict or set operation, atomic under the interpreter's lock.
    """

    slots: int
    limit: int = -1
    """How many jobs may be in hand: set from outside, 0 to `slots`; what is held already is not touched."""
    closed: frozenset[Lane] = NONE
    """Lanes that take nothing: set from outside; what is held already is not touched."""
    _held: dict[str, Lane] = field(default_factory=dict)
    _streak: int = 0
    peak: int = 0

    def __post_init__(self) -> None:
        if self.limit < 0:
            self.limit = self.slots

    def add(self, hint: str, lane: Lane) -> None:
        """A hint was popped."""
        self._held[hint] = lane
        self._streak = 0 if lane is Lane.BATCH else self._streak + 1
        self.peak = max(self.peak, len(self._held))

    def drop(self, hint: str) -> None:
        """A hint has ended: committed, stale or given back. Dropping twice is harmless."""
        self._held.pop(hint, None)

    def held(self, *, batch_asks: bool = False) -> Held:
        lanes = list(self._held.values())
        batch = sum(lane is Lane.BATCH for lane in lanes)
        return Held(interactive=len(lanes) - batch, batch=batch, batch_asks=batch_asks, streak=self._streak)

    def counts(self) -> dict[Lane, int]:
        """For beats and status pages."""
        held = self.held()
        return {Lane.INTERACTIVE: held.interactive, Lane.BATCH: held.batch}
