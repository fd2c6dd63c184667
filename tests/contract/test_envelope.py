"""The hints that Lua publishes are what Celery itself would publish, and Celery reads them so."""

from __future__ import annotations

import json
from typing import Any

import pytest
from celery import Celery
from celery.worker.request import Request

from tests.hands import document, open_batch
from tests.workers import make_job
from viiwork.jobs import Job, Lane
from viiwork.queues import HintId, lane_queue, make_app, make_envelope
from viiwork.settings import Settings
from viiwork.store import Store
from viiwork.store.endpoint import broker
from viiwork_workers.hints import register_tasks

SECRET = "Frau Müllers Befund"
PATCHED = {("headers", "argsrepr"), ("properties", "reply_to"), ("properties", "delivery_tag")}
"""What differs on purpose: the job's names for Flower, no queue for results, and a tag of the hint's own."""


@pytest.fixture
def app(settings: Settings) -> Celery:
    server = broker(settings.redis.url)
    made = make_app(settings, broker_url=server.url, broker_options=server.transport_options)
    register_tasks(made)
    return made


async def published(store: Store, job: Job) -> dict[str, Any]:
    """The message that `release` put into the ready queue."""
    await store.submit([job])
    raw: Any = await store.client.rpop(f"{store.prefix}{job.queue}")
    return dict(json.loads(raw))


async def celerys_own(app: Celery, store: Store, job: Job, hint: str) -> dict[str, Any]:
    """The message that `apply_async` puts there for the same hint."""
    app.tasks[job.task.value].apply_async(task_id=hint, queue=lane_queue(job.lane, job.model), ignore_result=True)
    raw: Any = await store.client.rpop(f"{store.prefix}{job.queue}")
    return dict(json.loads(raw))


def flat(message: dict[str, Any]) -> dict[tuple[str, ...], Any]:
    found: dict[tuple[str, ...], Any] = {}
    for name, value in message.items():
        found |= {(name, key): part for key, part in value.items()} if isinstance(value, dict) else {(name,): value}
    return found


async def test_our_hint_is_celerys_own_message_but_for_three_fields(app: Celery, real_store: Store) -> None:
    job = make_job(model="qwen-3.8b", lane=Lane.INTERACTIVE)
    ours = flat(await published(real_store, job))
    hint = ours["headers", "id"]
    theirs = flat(await celerys_own(app, real_store, job, hint))
    assert set(ours) == set(theirs)
    assert {field for field in ours if ours[field] != theirs[field]} == PATCHED


async def test_a_hint_names_the_job_its_lane_and_model_and_nothing_of_its_content(real_store: Store) -> None:
    """Flower shows it, and the queue may be seen by others."""
    job = make_job(text=SECRET, custom_id=SECRET, metadata={"name": SECRET}, tenant="müller@lab")
    message = await published(real_store, job)
    assert HintId.parse(message["headers"]["id"]) == HintId(job.id, 1, 1)
    assert message["headers"]["argsrepr"] == f"('{job.id}', 'batch', 'noop')"
    whole = json.dumps(message, ensure_ascii=False)
    assert SECRET not in whole
    assert "müller" not in whole


async def test_a_document_hint_does_not_name_its_file(real_store: Store) -> None:
    batch = await open_batch(real_store)
    job = document(batch)
    message = await published(real_store, job)
    assert message["headers"]["task"] == "viiwork.read"
    assert message["properties"]["delivery_info"]["routing_key"] == "batch.read"
    assert ".txt" not in json.dumps(message)


async def test_a_celery_worker_reads_our_hint(app: Celery, real_store: Store) -> None:
    """Through its own consumer and its own request: the task, the id, no arguments, and a tag of its own."""
    job = make_job()
    await real_store.submit([job])
    received: list[Any] = []
    with app.connection_for_read() as connection, connection.channel() as channel:
        consumer = app.amqp.TaskConsumer(channel, queues=[lane_queue(Lane.BATCH, "noop")])
        consumer.on_message = received.append
        consumer.consume()
        connection.drain_events(timeout=60)
        (message,) = received
        assert message.decode()[:2] == [[], {}]
        request = Request(message, app=app, task=app.tasks["viiwork.run"], hostname="gpu0@here")
        assert (request.name, request.id, request.root_id) == ("viiwork.run", f"{job.id}.1.1", f"{job.id}.1.1")
        assert (request.args, request.kwargs, request.ignore_result) == ([], {}, True)
        assert (request.delivery_info["routing_key"], message.delivery_tag) == ("batch.noop", f"{job.id}.1.1")
        assert job.id in request.argsrepr
        assert request.info()["name"] == "viiwork.run"


def test_the_envelope_patches_to_valid_json_whatever_the_names_are() -> None:
    """Names of jobs, models and queues have no character that JSON or Lua's patterns would mind."""
    text = make_envelope()
    names = {"@HINT@": "an_0-1l0p1.12.3", "@JOB@": "an_0-1l0p1", "@MODEL@": "a._-9", "@QUEUE@": "batch.a._-9"}
    for mark, name in names.items():
        text = text.replace(mark, name)
    assert json.loads(text)["headers"]["id"] == "an_0-1l0p1.12.3"


async def test_lua_patches_every_mark(store: Store) -> None:
    """Also names with the characters that mean something in Lua's own patterns."""
    message = await published(store, make_job(model="a.b-c_d"))
    assert "@" not in json.dumps({**message, "headers": {**message["headers"], "origin": ""}})
    assert message["properties"]["delivery_info"]["routing_key"] == "batch.a.b-c_d"
