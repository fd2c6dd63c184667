"""Whether work stands still: it may run, nothing of its queue runs, and nothing has started for long. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from viiwork.heldback import closed_lane
from viiwork.jobs import READER_MODEL, Lane
from viiwork.roster import FleetStatus


@dataclass(frozen=True, slots=True)
class QueueLook:
    """One queue at one moment."""

    queue: str
    ready: bool
    """Something of it may run: it is not paused, and waits for no other job."""
    waiting: int
    running: int
    started: int
    """How many jobs of it were ever started."""

    @property
    def lane(self) -> Lane:
        return Lane(self.queue.partition(".")[0])

    @property
    def model(self) -> str:
        return self.queue.partition(".")[2]


class Stalls:
    """Remembers since when each queue has stood still."""

    def __init__(self, *, after_s: float) -> None:
        self._after_s = after_s
        self._still: dict[str, tuple[int, float]] = {}

    def judge(self, looks: Sequence[QueueLook], *, now_s: float) -> list[QueueLook]:
        """Those that have stood still for long. `looks` are of the queues that nobody holds back on purpose."""
        still = {each.queue: each for each in looks if each.ready and not each.running}
        self._still = {queue: self._since(each, now_s) for queue, each in still.items()}
        return [each for queue, each in still.items() if now_s - self._still[queue][1] >= self._after_s]

    def _since(self, look: QueueLook, now_s: float) -> tuple[int, float]:
        started, since_s = self._still.get(look.queue, (look.started, now_s))
        return (started, since_s) if started == look.started else (look.started, now_s)


def unheld(looks: Sequence[QueueLook], status: FleetStatus, *, now: datetime) -> list[QueueLook]:
    """Without the queues that somebody keeps closed: a schedule, a person's pause, a hold; nor reading, while models
    work.
    """
    works = any(each.running for each in looks)
    held = {worker.card.model for worker in status.workers if worker.hold}
    return [
        each
        for each in looks
        if each.model not in held
        and not (each.model == READER_MODEL and works)
        and not closed_lane(status, each.model, each.lane, now=now)
    ]
