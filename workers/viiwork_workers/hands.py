"""The jobs that a worker holds: their fences, and the tasks that run them."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from viiwork.jobs import Lane
from viiwork.store import Fence
from viiwork_workers.outcome import Outcome


@dataclass(frozen=True, slots=True)
class Holding:
    """One job in hand."""

    fence: Fence
    task: asyncio.Task[Outcome]
    lane: Lane


@dataclass(slots=True)
class Hands:
    """The jobs that this worker holds: their fences, and the tasks that run them."""

    _held: dict[str, Holding] = field(default_factory=dict)
    """In the order in which they began."""
    _lost: dict[str, str] = field(default_factory=dict)
    _returning: set[str] = field(default_factory=set)
    leaving: bool = False

    def take(self, fence: Fence, task: asyncio.Task[Outcome], lane: Lane) -> None:
        self._held[fence.job] = Holding(fence, task, lane)

    def drop(self, fence: Fence) -> None:
        self._held.pop(fence.job, None)
        self._lost.pop(fence.job, None)
        self._returning.discard(fence.job)

    def fences(self) -> list[Fence]:
        return [holding.fence for holding in list(self._held.values())]

    def keep(self, most: int) -> int:
        """Stop what is beyond so many, to be given back; answers how many. Must run on the engine's loop.

        Jobs of a batch go before those that somebody waits for; of each lane those that began last, which lose least.
        """
        held = [holding for job, holding in self._held.items() if job not in self._returning]
        held.reverse()
        chosen = sorted(held, key=lambda holding: holding.lane is Lane.INTERACTIVE)[: max(0, len(held) - most)]
        for holding in chosen:
            self._returning.add(holding.fence.job)
            holding.task.cancel()
        return len(chosen)

    def goes_back(self, fence: Fence) -> bool:
        """Whether a job that was stopped, and is still ours, is to be given back."""
        return (self.leaving or fence.job in self._returning) and fence.job not in self._lost

    def abort(self, job: str, state: str) -> None:
        """Stop a job that is no longer ours, its record being in `state`; must run on the engine's loop."""
        held = self._held.get(job)
        if held:
            self._lost[job] = state
            held.task.cancel()

    def why_lost(self, fence: Fence) -> str | None:
        """The state of a job's record when it was taken from us."""
        return self._lost.get(fence.job)

    def abort_all(self) -> None:
        """Stop everything; must run on the engine's loop."""
        for holding in list(self._held.values()):
            holding.task.cancel()
