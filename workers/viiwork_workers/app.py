"""The composition root: the one place where settings become a worker. `python -m viiwork_workers NAME` starts it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from celery import Celery, signals

from viiwork.documents.provenance import LONG_CHARACTERS, ground
from viiwork.errors import JobRefused
from viiwork.jobs import Lane
from viiwork.queues import lane_queue, make_app
from viiwork.settings import Settings, load_settings
from viiwork.store import Store
from viiwork.store.embedded import locate
from viiwork.store.endpoint import broker
from viiwork.store.leases import Claim
from viiwork.store.opening import make_store
from viiwork.work import Answer, ChatInput, CompletionInput, EngineWork, JobInput, StepInput
from viiwork_workers.boot import READER_FACTS, EngineUp, Loaded, Parts
from viiwork_workers.control import register_controls
from viiwork_workers.engines.base import Engine, Manner, signed
from viiwork_workers.engines.choose import make_engine
from viiwork_workers.engines.seated import SeatedEngine
from viiwork_workers.hints import register_tasks
from viiwork_workers.meter import Meter
from viiwork_workers.outcome import Product, Runner
from viiwork_workers.slots import Slots
from viiwork_workers.tick import Tick
from viiwork_workers.voice import Voice

POOL = "viiwork_workers.pool:LoopPool"
AMQP = "viiwork_workers.reconnect:PromptAMQP"
HEARTBEAT_S = 5
"""Flower takes a worker for dead after two that did not come, as the others do after a lease. Celery's own two seconds
took a quarter of an idle worker's hub: kombu makes a client of its own for each (measured)."""


def compose(settings: Settings, name: str) -> Celery:
    """The Celery app of the worker `name` (`gpu0`, `cpu0`, `reader0`).

    Raises StoreUnavailable when there is no server to work for.
    """
    url = locate(settings)
    parts = _parts(settings, name, open_store=lambda: make_store(settings, url))
    server = broker(url)
    app = make_app(settings, broker_url=server.url, broker_options=server.transport_options)
    app.amqp_cls = AMQP
    app.conf.update(
        worker_pool=POOL,
        worker_concurrency=parts.facts.slots,
        worker_send_task_events=settings.flower.enabled,
        task_queues=[lane_queue(Lane.INTERACTIVE, parts.facts.model)],
    )
    app.parts = parts
    app.drain_grace_s = settings.queue.drain_grace_s
    app.steps["worker"].add(EngineUp)
    app.steps["consumer"].add(Slots)
    register_tasks(app)
    register_controls()
    return app


def worker_argv(name: str, *, host: str) -> list[str]:
    """Celery's own arguments: no gossip, no mingle (leases know better), heartbeats for Flower stay."""
    knowing = ("--without-gossip", "--without-mingle", "--heartbeat-interval", str(HEARTBEAT_S))
    return ["worker", "-n", f"{name}@{host}", "--loglevel", "WARNING", *knowing]


def _parts(settings: Settings, name: str, *, open_store: Callable[[], Store]) -> Parts:
    if name.startswith("reader"):
        facts = replace(READER_FACTS, slots=settings.workers.reader_slots)
        return Parts(settings, name, facts, open_store, lambda store: _make_reader(store, settings))
    engine = make_engine(settings, card=name)

    async def load(store: Store) -> Loaded:
        meter = Meter()
        seat = None
        if isinstance(engine, SeatedEngine):
            seat, engine.on_look = engine.seat, meter.look
        await engine.load()
        return Loaded(_engine_runner(engine, Tick(store)), engine.close, engine, seat, meter)

    return Parts(settings, name, engine.facts, open_store, load)


async def _make_reader(store: Store, settings: Settings) -> Loaded:
    from viiwork.documents import Limits  # noqa: PLC0415 - as below
    from viiwork_workers.filesteps import FileSteps  # noqa: PLC0415 - as below
    from viiwork_workers.readers import ReaderSteps  # noqa: PLC0415 - the tokenizers: 8 MB that no engine's worker needs

    limits = Limits(input_bytes=settings.api.max_document_bytes)
    files = FileSteps(store, settings)
    steps = ReaderSteps(store, limits=limits, max_documents=settings.api.max_documents, files=files)
    return Loaded(steps, steps.close)


def _engine_runner(engine: Engine, tick: Tick) -> Runner:
    async def run(claim: Claim, work: JobInput) -> Product:
        if not isinstance(work, EngineWork):
            raise JobRefused("This job is not for an engine.", code="wrong_queue")
        if isinstance(work, ChatInput | CompletionInput) and work.stream:
            return signed(await _aloud(engine, work, claim, Voice(tick, claim.fence)), engine.facts, engine.signals())
        answer = signed(await engine.run(work, Manner(lane=claim.lane)), engine.facts, engine.signals())
        return await _grounded(answer, work) if isinstance(work, StepInput) else answer

    return run


async def _grounded(answer: Answer, step: StepInput) -> Answer:
    """With the places of its quotes; those of a reduce call stand in no document, and are traced when it is folded."""
    if step.stage == "reduce" or not answer.evidence:
        return answer
    if len(step.text) <= LONG_CHARACTERS:
        return ground(answer, step.text, step.page_starts, start=step.start)
    return await asyncio.to_thread(ground, answer, step.text, step.page_starts, start=step.start)


async def _aloud(engine: Engine, work: EngineWork, claim: Claim, voice: Voice) -> Answer:
    try:
        return await engine.run(work, Manner(lane=claim.lane, on_text=voice.say))
    finally:
        voice.finish()


def __getattr__(name: str) -> Any:
    """`celery -A viiwork_workers.app` finds `app` here: built when asked for, so that importing reads nothing."""
    if name == "app":
        return compose(load_settings(), os.environ.get("VIIWORK_WORKER_NAME", "cpu0"))
    raise AttributeError(name)


@signals.setup_logging.connect  # type: ignore[untyped-decorator] # celery is untyped
def _own_logging(**_: Any) -> None:
    """Logging is set up in `__main__`; Celery would log every hint."""
