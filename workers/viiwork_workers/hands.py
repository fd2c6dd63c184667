"""The jobs that a worker holds: their fences, and the tasks that run them."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from viiwork.store import Fence
from viiwork_workers.outcome import Outcome


@dataclass(slots=True)
class Hands:
    """The jobs that this worker holds: their fences, and the tasks that run them."""

    _held: dict[str, tuple[Fence, asyncio.Task[Outcome]]] = field(default_factory=dict)
    _lost: dict[str, str] = field(default_factory=dict)
    leaving: bool = False

    def take(self, fence: Fence, task: asyncio.Task[Outcome]) -> None:
        self._held[fence.job] = (fence, task)

    def drop(self, fence: Fence) -> None:
        self._held.pop(fence.job, None)
        self._lost.pop(fence.job, None)

    def fences(self) -> list[Fence]:
        return [fence for fence, _ in list(self._held.values())]

    def abort(self, job: str, state: str) -> None:
        """Stop a job that is no longer ours, its record being in `state`; must run on the engine's loop."""
        held = self._held.get(job)
        if held:
            self._lost[job] = state
            held[1].cancel()

    def why_lost(self, fence: Fence) -> str | None:
        """The state of a job's record when it was taken from us."""
        return self._lost.get(fence.job)

    def abort_all(self) -> None:
        """Stop everything; must run on the engine's loop."""
        for _, task in list(self._held.values()):
            task.cancel()
