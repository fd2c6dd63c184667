"""The Celery tasks, and what Celery and Flower are told when a hint ends."""

from __future__ import annotations

from typing import Any

from celery import Celery, Task
from celery.worker.request import Request
from celery.worker.state import task_ready

from viiwork.jobs import TaskName
from viiwork_workers.pool import HintEnded

SIGTERM = 15


class HintRequest(Request):  # type: ignore[misc] # celery is untyped
    """Shows each hint as what it was: FAILURE, REJECTED (stale), REVOKED (cancelled) or RETRY (gone back)."""

    def announce(self) -> None:
        """Tell Flower that the hint is here, in Celery's own words."""
        self.send_event(
            "task-received",
            name=self.name,
            args=self.argsrepr,
            kwargs=self.kwargsrepr,
            root_id=self.root_id,
            parent_id=self.parent_id,
            retries=0,
            eta=None,
            expires=None,
        )

    def execute_using_pool(self, pool: Any, **_: Any) -> None:
        """Hand it to the loop pool, without the tracer and the time limits that a hint never has."""
        pool.on_apply(
            None, (self.name, self.id, self.request_dict), accept_callback=self.on_accepted, callback=self.on_success
        )

    def on_success(self, failed__retval__runtime: tuple[int, Any, float], **_: Any) -> Any:
        """The end of any hint: `pool.as_celery_result` says how it went."""
        failed, value, runtime_s = failed__retval__runtime
        if failed:
            return self.on_failure(value)
        task_ready(self)  # nobody asks a hint for Celery's list of its last thousand successes
        self.acknowledge()
        self.send_event("task-succeeded", result=value, runtime=runtime_s)
        return None

    def on_failure(self, exc_info: Any, send_failed_event: bool = True, return_ok: bool = False) -> Any:
        error = exc_info.exception
        if not isinstance(error, HintEnded):
            return super().on_failure(exc_info, send_failed_event, return_ok)
        task_ready(self)
        if error.end.state == "stale":
            # Cancelled while it lay here, before its claim: that is what people should see.
            if not self.revoked():
                self.reject(requeue=False)
        elif error.end.state == "cancelled":
            self._announce_revoked("terminated", True, SIGTERM, False)
        elif error.end.state == "waiting":
            self.send_event("task-retried", exception=str(error), traceback="")
            self.acknowledge()
        else:
            self.send_event("task-failed", exception=str(error), traceback="")
            self.acknowledge()
        return None


class HintTask(Task):  # type: ignore[misc] # celery is untyped
    """A name for hints. The work is in `execute`; the job's id is in the message's own id."""

    abstract = True
    Request = HintRequest
    Strategy = "viiwork_workers.strategy:hint_strategy"
    acks_late = True
    ignore_result = True
    max_retries = 0

    def run(self) -> None:
        """Never called by the loop pool, which runs `execute` in its place."""
        raise TypeError("VIIWork's tasks run in its own pool: start workers with `python -m viiwork_workers NAME`")


def register_tasks(app: Celery) -> None:
    """Make the three task names known to `app`."""
    for name in TaskName:
        kind = type(name.name.title() + "Task", (HintTask,), {"name": name.value})
        app.register_task(kind())
