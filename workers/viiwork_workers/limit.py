"""How many jobs a worker lets its engine have at once: additive increase, multiplicative decrease. Pure.

Never from latency: a longer prompt moves that as much as an overload does. A change never touches what runs: a lower
limit only keeps the worker from taking more.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

SHRINK = 0.7
FULL_KV = 0.95
"""vLLM begins to preempt a little above this."""
PATIENCE = 3
"""Looks in a row at which requests wait inside the engine before that counts: one may just be waiting for a step."""


@dataclass(frozen=True, slots=True)
class Look:
    """What was seen of the engine; counts are those since the look before."""

    running: int = 0
    waiting: int = 0
    kv_use: float = 0.0
    preemptions: int = 0
    quick_faults: int = 0
    """Jobs that ended in an engine's fault soon after they had begun."""

    @property
    def in_flight(self) -> int:
        return self.running + self.waiting

    @property
    def overloaded(self) -> bool:
        return self.preemptions > 0 or self.quick_faults > 0 or self.kv_use > FULL_KV


@dataclass(frozen=True, slots=True)
class Limit:
    """`value` jobs at once, of `ceiling` slots; never fewer than 1."""

    ceiling: int
    value: int
    queued_looks: int = 0
    """Looks in a row at which requests waited inside the engine."""

    @classmethod
    def of(cls, slots: int) -> Limit:
        """All slots: what is too much shows soon enough."""
        return cls(ceiling=slots, value=slots)

    def after(self, look: Look) -> Limit:
        """The limit after one more look."""
        queued = replace(self, queued_looks=self.queued_looks + 1 if look.waiting else 0)
        if look.in_flight > self.value:
            return queued  # the last decrease has not worked through: what was running then still runs
        if look.overloaded:
            return self._cut(look, floor=1)
        if look.waiting:
            return queued if queued.queued_looks < PATIENCE else self._cut(look, floor=look.running)
        return replace(queued, value=min(self.ceiling, self.value + 1))

    def _cut(self, look: Look, *, floor: int) -> Limit:
        """Down from what is in flight, as TCP does: the room between that and the limit was never tried."""
        tried = min(self.value, look.in_flight) or self.value
        return Limit(self.ceiling, max(1, floor, int(tried * SHRINK)))
