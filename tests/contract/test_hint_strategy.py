"""Our way of receiving a hint beside Celery's own: the same request, the same events, less work."""

from __future__ import annotations

import inspect
import json
from types import SimpleNamespace
from typing import Any

import pytest
from celery import Celery, Task
from celery.utils.imports import symbol_by_name
from celery.worker import state as worker_state
from celery.worker import strategy as celery_strategy
from celery.worker.consumer import Consumer
from celery.worker.request import Request
from kombu.transport.virtual import Message

from viiwork.jobs import Fault
from viiwork.queues import make_app, make_envelope
from viiwork.settings import Settings
from viiwork_workers.commits import End
from viiwork_workers.hints import HintRequest, register_tasks
from viiwork_workers.pool import LoopPool, as_celery_result

HINT = "job_7.1.1"
NAMES = {"HINT": HINT, "JOB": "job_7", "TASK": "viiwork.run", "QUEUE": "batch.noop", "LANE": "batch", "MODEL": "noop"}


class Dispatcher:
    """Keeps what it is told."""

    enabled = True

    def __init__(self) -> None:
        self.told: list[tuple[str, dict[str, Any]]] = []

    def send(self, type: str, **fields: Any) -> None:  # noqa: A002 - Celery's signature
        self.told.append((type, fields))


class Side:
    """One way of receiving, with all that it touches of a consumer."""

    def __init__(self, app: Celery, *, strategy: Any, request: Any = None) -> None:
        self.dispatcher = Dispatcher()
        self.requests: list[Any] = []
        self.acknowledged: list[str] = []
        task = app.tasks["viiwork.run"]
        pool = LoopPool(limit=1, app=app)
        self.consumer = SimpleNamespace(
            app=app,
            hostname="gpu0@here",
            event_dispatcher=self.dispatcher,
            connection_errors=(OSError,),
            on_task_request=self.requests.append,
            pool=pool,
            controller=SimpleNamespace(state=worker_state),
            timer=SimpleNamespace(call_at=None),
            disable_rate_limits=True,
            apply_eta_task=None,
            task_buckets={},
            _limit_task=None,
            _limit_post_eta=None,
        )
        described = SimpleNamespace(
            name=task.name,
            Request=request or task.Request,
            acks_late=True,
            send_events=True,
            ignore_result=True,
            time_limit=None,
            soft_time_limit=None,
            backend=SimpleNamespace(mark_as_revoked=lambda *_, **__: None),
            store_errors_even_if_ignored=False,
            rate_limit=None,
        )
        self.receive = strategy(described, app, self.consumer)

    def take(self) -> Any:
        """Receive the hint; answers the request that was handed on, if one was."""
        message = Message(json.loads(envelope()), channel=Acks(self.acknowledged))
        self.receive(message, None, lambda *_: None, lambda *_: None, None)
        return self.requests[-1] if self.requests else None


class Acks:
    """A channel that notes what was acknowledged."""

    no_ack_consumers: tuple[str, ...] = ()

    def __init__(self, seen: list[str]) -> None:
        self._seen = seen

    def decode_body(self, body: str, encoding: str | None = None) -> str:
        return body

    def basic_ack(self, delivery_tag: str, multiple: bool = False) -> None:
        self._seen.append(delivery_tag)

    def basic_reject(self, delivery_tag: str, requeue: bool = False) -> None:
        self._seen.append(delivery_tag)


def envelope() -> str:
    text = make_envelope()
    for mark, name in NAMES.items():
        text = text.replace(f"@{mark}@", name)
    return text


@pytest.fixture
def app(settings: Settings) -> Celery:
    made = make_app(settings, broker_url="memory://")
    register_tasks(made)
    return made


@pytest.fixture
def ours(app: Celery) -> Side:
    return Side(app, strategy=symbol_by_name(app.tasks["viiwork.run"].Strategy))


@pytest.fixture(autouse=True)
def _clean_state() -> Any:
    yield
    worker_state.reset_state()


def test_a_received_hint_is_told_as_celery_tells_it(app: Celery, ours: Side) -> None:
    """Flower reads these fields; a new one in Celery fails here."""
    theirs = Side(app, strategy=celery_strategy.default, request=Request)
    ours.take()
    theirs.receive(decoded_message(), None, lambda *_: None, lambda *_: None, None)
    assert ours.dispatcher.told == theirs.dispatcher.told


def decoded_message() -> Message:
    """A message with a body that Celery can read without a channel of kombu's."""
    raw = json.loads(envelope())
    raw["body"] = "[[], {}, {}]"
    return Message(raw, channel=Acks([]), accept={"application/json"})


def test_the_request_is_what_celery_would_have_made(app: Celery, ours: Side) -> None:
    """`inspect active` and Flower's task page show these."""
    theirs = Side(app, strategy=celery_strategy.default, request=Request)
    theirs.receive(decoded_message(), None, lambda *_: None, lambda *_: None, None)
    request, other = ours.take(), theirs.requests[0]
    shown = {**request.info(), "args": list(request.info()["args"])}
    assert shown == other.info()
    for name in ("id", "name", "root_id", "parent_id", "argsrepr", "kwargsrepr", "delivery_info", "ignore_result"):
        assert getattr(request, name) == getattr(other, name), name
    assert isinstance(request, HintRequest)


def test_an_end_is_told_once_and_acknowledged_once(ours: Side) -> None:
    request = ours.take()
    request.on_accepted(4242, 0.0)
    assert request in worker_state.active_requests
    request.on_success(as_celery_result(End("succeeded"), 0.5))
    assert [name for name, _ in ours.dispatcher.told] == ["task-received", "task-started", "task-succeeded"]
    assert ours.dispatcher.told[-1][1] == {"uuid": HINT, "result": "succeeded", "runtime": 0.5}
    assert ours.acknowledged == [HINT]
    assert HINT not in worker_state.requests
    assert request not in worker_state.active_requests


def test_a_failure_names_its_code_and_not_its_message(ours: Side) -> None:
    request = ours.take()
    request.on_success(as_celery_result(End("failed", Fault(code="bad_thing", message="Frau Müller")), 0.5))
    name, fields = ours.dispatcher.told[-1]
    assert (name, fields["exception"]) == ("task-failed", "failed: bad_thing")
    assert ours.acknowledged == [HINT]


def test_a_hint_revoked_before_it_came_is_not_handed_on(ours: Side) -> None:
    worker_state.revoked.add(HINT)
    assert ours.take() is None
    assert [name for name, _ in ours.dispatcher.told] == ["task-revoked"]
    assert ours.acknowledged == [HINT]


def test_celery_still_asks_the_task_for_its_strategy_and_calls_it_so() -> None:
    """The handler is called with the message, its payload, ack, reject and callbacks."""
    assert "instantiate(self.Strategy, self, app, consumer" in inspect.getsource(Task.start_strategy)
    handler = inspect.getsource(Consumer.create_task_handler)
    assert "strategy(\n" in handler
    assert handler.index("message, payload,") < handler.index("callbacks,\n")
    assert (
        Request(
            decoded_message(),
            app=None,
            task=SimpleNamespace(ignore_result=True),
            body=((), {}, {}),
            headers={"id": HINT, "task": "viiwork.run"},
            decoded=True,
        ).args
        == ()
    )
