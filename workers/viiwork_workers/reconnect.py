"""How soon the transport tries to reach Redis again: within two seconds, however long it was away.

kombu's own pauses grow by two seconds a time up to thirty: after an outage of 45 s a worker began to work 11 s after
the server was back (2 s with these). And where it publishes an event for Flower it pauses without looking whether the
worker was told to stop: one that lost Redis in that moment was deaf to SIGTERM (both measured).

This file touches kombu's private `_ensure_connection`; `tests/contract/test_reconnect.py` fails when that means
something else.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from celery.app.amqp import AMQP
from celery.worker.state import maybe_shutdown
from kombu import Connection

PAUSE_S = 0.5
"""The first pause, and by how much each is longer than the one before."""
LONGEST_PAUSE_S = 2.0


class PromptConnection(Connection):  # type: ignore[misc] # kombu is untyped
    """Tries again soon, and hears between two tries that the worker is to stop."""

    def _ensure_connection(  # noqa: PLR0917 - kombu's signature
        self,
        errback: Callable[..., Any] | None = None,
        max_retries: int | None = None,
        interval_start: float = PAUSE_S,
        interval_step: float = PAUSE_S,
        interval_max: float = LONGEST_PAUSE_S,
        callback: Callable[[], Any] | None = None,
        **options: Any,
    ) -> Any:
        """As kombu's; all its roads to a lost connection pass here."""
        return super()._ensure_connection(
            errback,
            max_retries,
            min(interval_start, PAUSE_S),
            min(interval_step, PAUSE_S),
            min(interval_max, LONGEST_PAUSE_S),
            callback or maybe_shutdown,
            **options,
        )


class PromptAMQP(AMQP):  # type: ignore[misc] # celery is untyped
    """Has Celery make connections that try again soon."""

    Connection = PromptConnection
