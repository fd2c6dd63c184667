"""`client.webhooks.unwrap` takes what the service sends about batches."""

from __future__ import annotations

import json

import httpx
import pytest
from openai import InvalidWebhookSignatureError, OpenAI

from tests.contract_openai.lines import ended, held, jsonl, line, started
from tests.front import Front
from tests.receiver import Heard, Receiver


def heard(receiver: Receiver, *ids: str) -> list[Heard]:
    """What has come of these batches, once something has of each; earlier tests' may end meanwhile too."""

    def of(one: Heard) -> str:
        return str(json.loads(one.body)["data"]["id"])

    came = receiver.until(lambda told: {*map(of, told)} >= {*ids}, within_s=60)
    return [one for one in came if of(one) in ids]


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
            late = held(sdk, front, extra_body={"deadline_s": 6})
            left = sdk.batches.cancel(held(sdk, front).id)
            came = heard(receiver, *(batch.id for batch in (good, bad, late, left)))
        finally:
            http.delete(f"/v1/callbacks/endpoints/{endpoint}")
    told = {}
    for one in came:
        event = sdk.webhooks.unwrap(one.body, one.headers, secret=secret)
        assert event.object == "event" and event.id == one.id and event.created_at > 1.7e9
        told[event.type] = event.data.id  # type: ignore[union-attr]
    assert told == {
        "batch.completed": good.id,
        "batch.failed": bad.id,
        "batch.expired": late.id,
        "batch.cancelled": left.id,
    }
    first = came[0]
    with pytest.raises(InvalidWebhookSignatureError):
        sdk.webhooks.unwrap(first.body.replace(b"batch.", b"Batch."), first.headers, secret=secret)
