"""Brings a worker up in order (store, engine, beats) before its first hint, and down in the reverse order."""

from __future__ import annotations

import logging
import os
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, TypeVar

from celery import bootsteps
from celery.worker import state

from viiwork.errors import ViiworkError
from viiwork.jobs import READER_MODEL
from viiwork.roster import WorkerCard
from viiwork.settings import Settings
from viiwork.store import BlobStore, Store
from viiwork.wire import SCHEMA
from viiwork_workers.commits import Retries
from viiwork_workers.ending import Ending
from viiwork_workers.engines.base import Engine, EngineFacts
from viiwork_workers.engines.seat import Seat
from viiwork_workers.execute import Executor
from viiwork_workers.governor import Governor
from viiwork_workers.lease import Beats
from viiwork_workers.ledger import Ledger
from viiwork_workers.loopthread import LoopThread
from viiwork_workers.meter import Meter
from viiwork_workers.orders import Orders, free, orders_of, unheard
from viiwork_workers.outcome import Runner
from viiwork_workers.station import Station

log = logging.getLogger(__name__)
T = TypeVar("T")
CLOSE_S = 30.0
Step = Callable[[], None]


@dataclass(frozen=True, slots=True)
class Loaded:
    """What runs a worker's jobs, ready to run them, and what closes it; readers have no engine."""

    runner: Runner
    close: Callable[[], Awaitable[None]]
    engine: Engine | None = None
    seat: Seat | None = None
    """The cards that the engine runs on, where they are watched."""
    meter: Meter | None = None
    """Measures what they use."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What makes one worker: its name, how to open its store, and what runs its jobs.

    `load` is called on the engine's loop once the store is open.
    """

    settings: Settings
    name: str
    facts: EngineFacts
    open_store: Callable[[], Store]
    load: Callable[[Store], Awaitable[Loaded]]


class EngineUp(bootsteps.StartStopStep):  # type: ignore[misc] # celery is untyped
    """Loads the engine before the worker consumes, and closes it after the last job."""

    requires = ("celery.worker.components:Pool",)
    label = "Engine"

    def __init__(self, w: Any, **kwargs: Any) -> None:
        self._close: Callable[[], None] | None = None
        super().__init__(w, **kwargs)

    def start(self, w: Any) -> None:
        parts: Parts = w.app.parts
        ending = Ending()
        ending.listen()
        thread = LoopThread("viiwork-engine")
        begin = time.monotonic()
        try:
            executor, loaded, store = _wait(thread.submit(_assemble(parts)))
        except ViiworkError as error:
            log.error("%s cannot start: %s", parts.name, error)  # noqa: TRY400 - one line, no trace
            raise SystemExit(1) from error
        ledger = Ledger(parts.facts.slots)
        station = Station(thread, executor, card=executor.card, ledger=ledger, seat=loaded.seat)
        w.app.station = ending.station = station
        # before the first beat, or it would not say that it loads
        orders = orders_of(parts.settings, parts.name, environ=os.environ)
        governing = govern(thread, station, loaded.engine, orders=orders)
        beats = Beats(station, parts.settings.queue, parts.open_store, joined=parts.settings.joined)
        minding = mind_reach(thread, station, store)
        steps: dict[str, Step] = {
            "jobs": lambda: station.drain(0.0),  # nothing is left of them after a warm shutdown
            "reach": minding,
            "limit": governing,
            "beats": beats.close,
            "engine": lambda: _wait_for(thread, loaded.close, limit_s=parts.facts.end_s),
            "store": lambda: _wait_for(thread, store.close),
        }
        self._close = lambda: _close_all(steps, thread)
        if loaded.engine is not None and (told := unheard(parts.settings, environ=os.environ)):
            log.warning("%s: %s", parts.name, told)
        ready = station.card_now().engine_state in ("", "ready")
        told = "%s holds %s after %.1f s" if ready else "%s is there for %s after %.1f s; its engine is not ready yet"
        log.info(told, parts.name, parts.facts.model, time.monotonic() - begin)

    def stop(self, w: Any) -> None:  # noqa: ARG002 - Celery's signature
        if self._close is not None:
            self._close()
            self._close = None

    terminate = stop


async def _assemble(parts: Parts) -> tuple[Executor, Loaded, Store]:
    store = parts.open_store()
    await store.ping()
    loaded = await parts.load(store)
    queue = parts.settings.queue
    retries = Retries(queue.max_attempts, base_s=queue.retry_base_s, cap_s=queue.retry_cap_s)
    executor = Executor(store, loaded.runner, card=make_card(parts), retries=retries, meter=loaded.meter)
    if (engine := loaded.engine) is not None:
        executor.version = lambda: said.version if (said := engine.signals()) else ""
    return executor, loaded, store


def make_card(parts: Parts) -> WorkerCard:
    """What this life of the worker tells the fleet."""
    host = parts.settings.host
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
        cannot=tuple(sorted(facts.cannot)),
        revision=facts.revision,
        quantization=facts.quantization,
        engine_version=facts.version,
        schema_version=SCHEMA,
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


def govern(thread: LoopThread, station: Station, engine: Engine | None, *, orders: Orders = free) -> Step:
    """Have the engine looked at, once before this returns; answers what ends that."""
    if engine is None:
        return _nothing
    governor = Governor(engine, station, orders=orders)
    _wait(thread.submit(_first_look(governor)))
    governing = thread.submit(governor.govern())
    governing.add_done_callback(_tell_defect)

    def end() -> None:
        governing.cancel()

    return end


def mind_reach(thread: LoopThread, station: Station, store: Store) -> Step:
    """Have the way to the documents minded where it leads through the head's API; answers what ends that."""
    if isinstance(store.blobs, BlobStore):
        return _nothing
    from viiwork.store.blobhttp import RemoteBlobs  # noqa: PLC0415 - aiohttp: most workers have no use for it
    from viiwork_workers.reach import Reach  # noqa: PLC0415 - as above

    if not isinstance(store.blobs, RemoteBlobs):
        return _nothing
    minding = thread.submit(Reach(store.blobs, station).mind())
    minding.add_done_callback(_tell_defect)

    def end() -> None:
        minding.cancel()

    return end


async def _first_look(governor: Governor) -> None:
    governor.look()


def _tell_defect(governing: Future[None]) -> None:
    error = None if governing.cancelled() else governing.exception()
    if error is not None:
        log.critical("the limit stays as it is: looking at the engine met a defect (%s)", type(error).__name__)


def _nothing() -> None:
    """Readers have no engine to look at, and workers of the head no way to mind."""


def _close_all(steps: Mapping[str, Step], thread: LoopThread) -> None:
    for what, step in steps.items():
        try:
            step()
        except TimeoutError:
            rest = "; its guard sees to the rest" if what == "engine" else ""
            log.warning("the %s took too long to close%s", what, rest)
        except (ViiworkError, OSError) as error:
            log.warning("%s: %s while closing", what, type(error).__name__)
    thread.close()


def _wait_for(thread: LoopThread, action: Callable[[], Awaitable[None]], *, limit_s: float = CLOSE_S) -> None:
    async def run() -> None:
        await action()

    thread.submit(run()).result(timeout=limit_s)


READER_FACTS = EngineFacts(name="reader", model=READER_MODEL, slots=2, context_tokens=0, tokenizer="")
