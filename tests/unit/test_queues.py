"""Hints, their ids and queues, and the Celery app that both sides share."""

from __future__ import annotations

import json

import pytest

from viiwork.jobs import Lane
from viiwork.queues import PLACEHOLDERS, HintId, lane_queue, make_app, make_envelope, queue_name
from viiwork.settings import load_settings


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("job_1.1.1", HintId("job_1", 1, 1)),
        ("an_x-12l0p3.7.40", HintId("an_x-12l0p3", 7, 40)),
        ("", None),
        ("job_1", None),
        ("job_1.1", None),
        ("job_1.x.1", None),
        ("job_1.1.x", None),
        (".1.1", None),
        ("job_1.-1.1", None),
        ("job_1.1.1.1", None),
        ("0f8fad5b-d9cb-469f-a165-70867728950e", None),
        ("job_1.²..1", None),
        ("job_1.².1", None),
        ("job_1.1." + "9" * 5000, None),
    ],
)
def test_a_hints_id_is_read_or_refused(text: str, hint: HintId | None) -> None:
    """Other people's messages may lie in a queue too."""
    assert HintId.parse(text) == hint


def test_queues_are_named_for_lane_and_model() -> None:
    assert queue_name(Lane.INTERACTIVE, "read") == "interactive.read"
    queue = lane_queue(Lane.BATCH, "qwen")
    assert (queue.name, queue.routing_key, queue.exchange.name) == ("batch.qwen", "batch.qwen", "")


def test_the_app_speaks_json_only_and_keeps_no_results() -> None:
    conf = make_app(load_settings(), broker_url="memory://").conf
    assert conf.accept_content == ["json"]
    assert (conf.task_serializer, conf.event_serializer, conf.result_backend) == ("json", "json", None)
    assert (conf.task_acks_late, conf.worker_prefetch_multiplier) == (True, 1)


def test_the_transport_is_told_what_leases_need() -> None:
    """No emulated acknowledgements, one list a queue, the fleet's prefix, and timeouts that notice a silent network."""
    settings = load_settings({"fleet": {"name": "two"}})
    options = make_app(settings, broker_url="memory://", broker_options={"extra": 1}).conf.broker_transport_options
    assert options["ack_emulation"] is False
    assert options["global_keyprefix"] == "viiwork:two:"
    assert options["priority_steps"] == [0]
    assert (options["socket_timeout"], options["socket_keepalive"], options["extra"]) == (5, True, 1)


def test_the_envelope_carries_every_placeholder_and_no_id_of_its_own() -> None:
    envelope = make_envelope()
    assert all(mark in envelope for mark in PLACEHOLDERS)
    message = json.loads(envelope)
    assert message["headers"]["id"] == message["headers"]["root_id"] == "@HINT@"
    assert message["properties"]["correlation_id"] == message["properties"]["delivery_tag"] == "@HINT@"
    assert message["headers"]["parent_id"] is None


def test_the_envelope_is_small() -> None:
    """It is repeated for each hint that is ready, and names nobody's document."""
    assert len(make_envelope()) < 1200
