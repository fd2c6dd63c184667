"""The pool that was not chosen: Celery's threads, each waiting for its job on the engine's loop.

For the scenario `pool` only. `python -m bench.threads_worker cpu0` runs the same worker (store, claim, lease, commit,
lanes, beats) with this one part exchanged.
"""

from __future__ import annotations

import os
import sys
from typing import Any

from celery import Celery

from viiwork.jobs import TaskName
from viiwork.queues import HintId
from viiwork.settings import load_settings
from viiwork_workers.app import compose, worker_argv
from viiwork_workers.hints import HintTask
from viiwork_workers.pool import HintEnded
from viiwork_workers.station import Station

SPARE_THREADS = 4
"""One hint more than there are slots may be in hand after a reconnection."""


class ThreadTask(HintTask):
    """Hands its job to the loop and waits for the end."""

    abstract = True

    def run(self) -> None:
        request: Any = self.request
        station: Station = self.app.station
        hint = HintId.parse(request.id)
        if hint is None:
            raise TypeError("this hint names no job")
        queue = request.delivery_info["routing_key"]
        end = station.call(station.executor.run(hint, queue, started=_nothing)).result()
        if end.state != "succeeded":
            raise HintEnded(end)


def _nothing() -> None:
    """Celery's tracer says itself when a task starts."""


def compose_threads(name: str) -> Celery:
    """Our worker with `-P threads`."""
    app = compose(load_settings(), name)
    app.conf.update(worker_pool="threads", worker_concurrency=app.parts.facts.slots + SPARE_THREADS)
    for task in TaskName:
        app.tasks.unregister(task.value)
        kind = type(task.name.title() + "Thread", (ThreadTask,), {"name": task.value})
        app.register_task(kind())
    return app


if __name__ == "__main__":
    os.environ["VIIWORK_WORKER_NAME"] = sys.argv[1]
    compose_threads(sys.argv[1]).worker_main(worker_argv(sys.argv[1]))
