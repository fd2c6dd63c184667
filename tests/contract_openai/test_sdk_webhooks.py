"""`client.webhooks.unwrap` takes what the service sends about batches."""

from __future__ import annotations

import time

import httpx
import pytest
from openai import InvalidWebhookSignatureError, OpenAI

from tests.contract_openai.lines import ended, held, jsonl, line, started
from tests.front import Front
from tests.receiver import Receiver


def heard(receiver: Receiver, count: int) -> None:
    """Until so much has come; a bound, not a timing assertion."""
    until_s = time.monotonic() + 30
    while len(receiver.heard) < count:
        assert time.monotonic() < until_s
        time.sleep(0.02)


def test_batches_that_end_are_told_and_unwrapped(sdk: OpenAI, front: Front) -> None:
    """The type, the batch's id, the signature over the raw body; a changed byte is refused."""
    with Receiver() as receiver, httpx.Client(base_url=front.url) as http:
        events = ["batch.completed", "batch.failed", "batch.cancelled", "batch.expired"]
        made = http.post("/v1/callbacks/endpoints", json={"url": receiver.url, "events": events})
        assert made.status_code == 201, made.text
        secret, endpoint = made.json()["secret"], made.json()["endpoint"]["id"]
        try:
            good = ended(sdk, started(sdk, jsonl([line("a")])))
            bad = ended(sdk, started(sdk, b"{no\n"))
            late = held(sdk, extra_body={"deadline_s": 3})
            left = sdk.batches.cancel(held(sdk).id)
            heard(receiver, 4)
        finally:
            http.delete(f"/v1/callbacks/endpoints/{endpoint}")
    told = {}
    for one in receiver.heard:
        event = sdk.webhooks.unwrap(one.body, one.headers, secret=secret)
        assert event.object == "event" and event.id == one.id and event.created_at > 1.7e9
        told[event.type] = event.data.id  # type: ignore[union-attr]
    assert told == {
        "batch.completed": good.id,
        "batch.failed": bad.id,
        "batch.expired": late.id,
        "batch.cancelled": left.id,
    }
    first = receiver.heard[0]
    with pytest.raises(InvalidWebhookSignatureError):
        sdk.webhooks.unwrap(first.body.replace(b"batch.", b"Batch."), first.headers, secret=secret)
