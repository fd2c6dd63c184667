"""What ran when a fault hit, and how soon it ran again."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from viiwork.store import Store


@dataclass(frozen=True, slots=True)
class Wound:
    """A job that ran when a fault hit. `at_ms` is on Redis' clock."""

    job: str
    attempt: int
    at_ms: int


@dataclass(frozen=True, slots=True)
class Recovery:
    """How the jobs that ran at the fault fared."""

    hurt: int
    seconds: tuple[float, ...]
    """Of those that were started again: from the fault to the next attempt."""

    @property
    def p50_s(self) -> float | None:
        return statistics.median(self.seconds) if self.seconds else None

    @property
    def max_s(self) -> float | None:
        return max(self.seconds, default=None)


@dataclass(slots=True)
class Wounds:
    """All that one run's faults hit."""

    all: list[Wound] = field(default_factory=list)
    restarts: int = 0

    async def note(self, store: Store, at_ms: int, jobs: Sequence[str]) -> None:
        attempts = await store.read([("HGET", f"{store.prefix}job:{job}", "attempt") for job in jobs]) if jobs else []
        self.all += [Wound(job, int(attempt), at_ms) for job, attempt in zip(jobs, attempts, strict=True)]

    def turn(self, by_ms: int) -> None:
        """The server's clock was turned: what was noted before it is told by the new time."""
        self.all = [replace(wound, at_ms=wound.at_ms + by_ms) for wound in self.all]

    async def recovery(self, store: Store) -> Recovery:
        """To be asked when all is over."""
        seconds = []
        for wound in self.all:
            started_ms = await _next_start(store, wound)
            if started_ms is not None:
                seconds.append(max(0, started_ms - wound.at_ms) / 1000)
        return Recovery(hurt=len(self.all), seconds=tuple(sorted(seconds)))


async def _next_start(store: Store, wound: Wound) -> int | None:
    """When the attempt after the one that was hit began; None when that one was seen to its end."""
    status = await store.job(wound.job)
    earlier = [past.started_ms for past in status.history if past.attempt > wound.attempt]
    later = [status.started_ms] if status.attempt > wound.attempt and status.started_ms else []
    return min([*earlier, *later], default=None)
