"""How a hint is received: Celery's own strategy, less what a hint never has.

A hint has no arguments, no eta, no expiry and no rate limit. Decoding the body that says so, and telling the hub about
every acknowledgement, which only drops a name from the ledger, took a fifth of the hub's time (measured).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from celery.worker.state import revoked, task_reserved

NO_ARGUMENTS: tuple[tuple[()], dict[str, Any], dict[str, Any]] = ((), {}, {})


def hint_strategy(task: Any, app: Any, consumer: Any) -> Callable[..., None]:
    """What the consumer calls with every message of `task`: `HintTask.Strategy`."""
    make = task.Request

    def receive(message: Any, payload: Any, ack: Any, reject: Any, callbacks: Any) -> None:  # noqa: ARG001
        """Celery's signature; its `ack` and `reject` would go round by the hub once more."""
        request = make(
            message,
            on_ack=message.ack_log_error,
            on_reject=message.reject_log_error,
            hostname=consumer.hostname,
            eventer=consumer.event_dispatcher,
            app=app,
            connection_errors=consumer.connection_errors,
            task=task,
            body=NO_ARGUMENTS,
            headers=message.headers,
            decoded=True,
        )
        if request.id in revoked and request.revoked():
            return
        request.announce()
        task_reserved(request)
        consumer.on_task_request(request)

    return receive
