"""Hints that seem unfinished in Flower although their jobs have gone on: a killed worker sends no last event."""

from __future__ import annotations

import time
from typing import Any

from viiwork.errors import Gone, NotFound, StoreUnavailable
from viiwork.jobs import State, Status
from viiwork.queues import HintId
from viiwork.store import Store

UNFINISHED = ("RECEIVED", "STARTED")
STALE = {"type": "task-rejected"}
LOST = {"type": "task-retried", "exception": "worker_lost: the job went back to its queue", "traceback": ""}
Event = dict[str, Any]


class Stragglers:
    """Compares what Flower believes with the roster and the jobs' records, and tells it what the lost could not.

    A real event that comes later still counts.
    """

    def __init__(self, state: Any, store: Store, *, patience_s: float) -> None:
        self._state = state
        self._store = store
        self._patience_s = patience_s

    async def look(self) -> None:
        """One pass over what has been silent for longer than a lease."""
        old = time.time() - self._patience_s
        tasks = [t for t in self._state.tasks.values() if t.state in UNFINISHED and (t.timestamp or 0) < old]
        silent = [w for w in self._state.workers.values() if w.heartbeats and w.heartbeats[-1] < old]
        if not tasks and not silent:
            return
        try:
            present = {worker.card.name for worker in (await self._store.fleet()).workers}
            for worker in silent:
                if worker.hostname not in present:
                    self._tell({"type": "worker-offline", "hostname": worker.hostname, "active": 0})
            for task in tasks:
                await self._settle(task, present=task.worker.hostname in present)
        except StoreUnavailable:
            return  # nobody can say; what Flower shows is the last that was known

    async def _settle(self, task: Any, *, present: bool) -> None:
        hint = HintId.parse(task.uuid)
        try:
            end = how_it_ended(await self._store.job(hint.job), hint, task.state, present=present) if hint else STALE
        except (NotFound, Gone):
            end = STALE
        if end and task.state in UNFINISHED:  # its own event may have come while the store was asked
            self._tell({"uuid": task.uuid, "hostname": task.worker.hostname, "clock": task.clock, **end})

    def _tell(self, event: Event) -> None:
        # Without `local_received` Celery does not take it for a sign of life.
        self._state.event({"timestamp": time.time(), "local_received": None, **event})


def how_it_ended(job: Status, hint: HintId, seen: str, *, present: bool) -> Event | None:
    """The event that says what became of a hint; None while it may still be in its worker's hands."""
    if job.attempt < hint.attempt:  # not claimed
        return None if present and job.state is State.QUEUED else STALE
    this_one_runs = job.state is State.RUNNING and job.attempt == hint.attempt
    if this_one_runs or seen == "RECEIVED":
        return None if this_one_runs else STALE
    went_back = job.attempt > hint.attempt or job.state in (State.WAITING, State.QUEUED)
    return LOST if went_back else _last_event(job)


def _last_event(job: Status) -> Event:
    if job.state is State.SUCCEEDED:
        return {"type": "task-succeeded", "result": "succeeded"}
    if job.state is State.CANCELLED:
        return {"type": "task-revoked", "terminated": False, "signum": None, "expired": False}
    code = job.error.code if job.error else "unknown"
    return {"type": "task-failed", "exception": f"{job.state}: {code}", "traceback": ""}
