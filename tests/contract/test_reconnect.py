"""The transport's tries to reach Redis again: what we ask of Celery and kombu is what they do."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import pytest
from celery.exceptions import WorkerShutdown
from celery.worker import state
from kombu import Connection

from viiwork.settings import Settings
from viiwork_workers.app import compose
from viiwork_workers.reconnect import LONGEST_PAUSE_S, PromptConnection

NOWHERE = "redis://127.0.0.1:1/0"


def test_every_connection_that_a_worker_makes_tries_again_soon(settings: Settings) -> None:
    """For hints and for events; also after Celery has cloned it."""
    app = compose(settings, "gpu0")
    for connection in (app.connection_for_read(), app.connection_for_write()):
        assert isinstance(connection, PromptConnection)
        assert isinstance(connection.clone(), PromptConnection)


def pauses_of(
    ensure: Callable[..., Any], errors: tuple[type[Exception], ...], tries: int, **options: Any
) -> list[float]:
    """The pauses that kombu tells before it sleeps."""
    told: list[float] = []
    with pytest.raises(errors):
        ensure(lambda error, pause_s: told.append(pause_s), max_retries=tries, **options)
    return told


def test_no_pause_is_longer_than_it_was_allowed_to_be() -> None:
    """Whoever allows less gets less; the longest that we allow is two seconds."""
    connection = PromptConnection(NOWHERE)
    errors = (*connection.connection_errors, Exception)
    told = pauses_of(connection.ensure_connection, errors, 5, interval_start=0.001, interval_max=0.01)
    assert len(told) == 5
    assert max(told) <= 0.01
    first, second = pauses_of(connection.ensure_connection, errors, 2, interval_start=30, interval_step=30)
    assert 0 < first < second <= LONGEST_PAUSE_S == 2.0


def test_a_worker_that_is_told_to_stop_does_not_go_on_trying(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where kombu itself connects again before it publishes: it asks nobody there."""
    monkeypatch.setattr(state, "should_stop", 0)
    connection = PromptConnection(NOWHERE)
    with pytest.raises(WorkerShutdown):
        connection.ensure_connection()
    publish = connection.ensure(connection, lambda: connection.default_channel.client.ping())
    with pytest.raises(WorkerShutdown):
        publish()


def test_kombus_own_takes_what_ours_passes_on() -> None:
    """By position, as its other roads do."""
    names = list(inspect.signature(Connection._ensure_connection).parameters)
    assert names[:7] == [
        "self", "errback", "max_retries", "interval_start", "interval_step", "interval_max", "callback"
    ]  # fmt: skip
