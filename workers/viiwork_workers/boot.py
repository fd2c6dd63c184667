"""Brings a worker up in order (store, engine, beats) before its first hint, and down in the reverse order."""

from __future__ import annotations

import logging
import os
import socket
import time
import uuid
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, TypeVar

from celery import bootsteps
from celery.worker import state

from viiwork.errors import ViiworkError
from viiwork.jobs import READER_MODEL
from viiwork.roster import WorkerCard
from viiwork.settings import Settings
from viiwork.store import Store
from viiwork_workers.engines.base import EngineFacts
from viiwork_workers.execute import Executor, Runner
from viiwork_workers.lease import Beats
from viiwork_workers.ledger import Ledger
from viiwork_workers.station import LoopThread, Station

log = logging.getLogger(__name__)
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Parts:
    """What makes one worker: its name, how to open its store, and what runs its jobs.

    `make_runner` is called on the engine's loop once the store is open; it loads the engine, and answers the runner
    and what closes it.
    """

    settings: Settings
    name: str
    facts: EngineFacts
    open_store: Callable[[], Store]
    make_runner: Callable[[Store], Awaitable[tuple[Runner, Callable[[], Awaitable[None]]]]]


class EngineUp(bootsteps.StartStopStep):  # type: ignore[misc] # celery is untyped
    """Loads the engine before the worker consumes, and closes it after the last job."""

    requires = ("celery.worker.components:Pool",)
    label = "Engine"

    def __init__(self, w: Any, **kwargs: Any) -> None:
        self._close: Callable[[], None] | None = None
        super().__init__(w, **kwargs)

    def start(self, w: Any) -> None:
        parts: Parts = w.app.parts
        thread = LoopThread("viiwork-engine")
        begin = time.monotonic()
        try:
            store, executor, close = _wait(thread.submit(_assemble(parts)))
        except ViiworkError as error:
            log.error("%s cannot start: %s", parts.name, error)  # noqa: TRY400 - one line, no trace
            raise SystemExit(1) from error
        station = Station(thread, executor, card=executor.card, ledger=Ledger(parts.facts.slots))
        w.app.station = station
        beats = Beats(station, parts.settings.queue, parts.open_store)
        self._close = lambda: _close_all(station, beats, thread, store, close)
        log.info("%s holds %s after %.1f s", parts.name, parts.facts.model, time.monotonic() - begin)

    def stop(self, w: Any) -> None:  # noqa: ARG002 - Celery's signature
        if self._close is not None:
            self._close()
            self._close = None

    terminate = stop


async def _assemble(parts: Parts) -> tuple[Store, Executor, Callable[[], Awaitable[None]]]:
    store = parts.open_store()
    await store.ping()
    runner, close = await parts.make_runner(store)
    executor = Executor(store, runner, card=make_card(parts), max_attempts=parts.settings.queue.max_attempts)
    return store, executor, close


def make_card(parts: Parts) -> WorkerCard:
    """What this life of the worker tells the fleet."""
    host = socket.gethostname()
    facts = parts.facts
    return WorkerCard(
        name=f"{parts.name}@{host}",
        incarnation=f"{parts.name}-{uuid.uuid4().hex[:12]}",
        host=host,
        pid=os.getpid(),
        engine=facts.name,
        model=facts.model,
        slots=facts.slots,
        context_tokens=facts.context_tokens,
        tokenizer=facts.tokenizer,
        notice=facts.notice,
    )


def _wait(loading: Future[T]) -> T:
    """The result of a load that may take minutes; SIGTERM meanwhile ends the worker."""
    while True:
        try:
            return loading.result(timeout=0.2)
        except TimeoutError:
            if loading.done():
                raise
            if state.should_stop is not None or state.should_terminate is not None:
                loading.cancel()
                raise SystemExit(0) from None


def _close_all(
    station: Station, beats: Beats, thread: LoopThread, store: Store, close: Callable[[], Awaitable[None]]
) -> None:
    station.drain(0.0)  # a no-op after a warm shutdown
    for what, step in (("beats", beats.close), ("engine", lambda: _wait_for(thread, close)), ("store", None)):
        try:
            if step is not None:
                step()
            else:
                _wait_for(thread, store.close)
        except (ViiworkError, TimeoutError, OSError) as error:
            log.warning("%s: %s while closing", what, type(error).__name__)
    thread.close()


def _wait_for(thread: LoopThread, action: Callable[[], Awaitable[None]]) -> None:
    async def run() -> None:
        await action()

    thread.submit(run()).result(timeout=30)


READER_FACTS = EngineFacts(name="reader", model=READER_MODEL, slots=2, context_tokens=0, tokenizer="")
