"""Lists, documents, retries, retention and deletion over HTTP, on a real store over fakeredis."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from starlette.datastructures import Headers
from starlette.requests import Request

from indoors import indoors
from standin import StandIn
from tests.hands import Hands, sealed_batch
from viiwork.api.dead import once_of
from viiwork.api.gate import labelled
from viiwork.api.principal import enter
from viiwork.jobs import State
from viiwork.store import Store
from viiwork.store.leases import Verdict

TEXTS = [{"text": "one", "name": "a"}, {"text": "two", "name": "b"}]


@dataclass
class Api:
    """The door, and the store behind it with a worker that serves a model."""

    app: FastAPI
    http: httpx.AsyncClient
    store: Store
    worker: StandIn

    async def start(self, **fields: Any) -> str:
        answer = await self.http.post("/v1/analyses", json={"task": "summarize", "documents": TEXTS, **fields})
        assert answer.status_code == 202, answer.text
        return str(answer.json()["id"])

    async def ids(self, **params: Any) -> list[str]:
        answer = await self.http.get("/v1/analyses", params=params)
        assert answer.status_code == 200, answer.text
        return [one["id"] for one in answer.json()["analyses"]]


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with indoors(tmp_path, results={"ttl_days": 2.0, "max_days": 10.0}) as door:
        yield Api(door.app, door.http, door.store, door.worker)


def error(response: httpx.Response) -> dict[str, Any]:
    return {"status": response.status_code, **response.json()["error"]}


async def test_a_list_is_asked_for_by_state_and_metadata_page_by_page(api: Api) -> None:
    first, second = await api.start(metadata={"study": "a b", "year": "2019"}), await api.start()
    await api.worker.work()
    third = await api.start(metadata={"study": "a b"})
    assert await api.ids() == [third, second, first]
    assert await api.ids(**{"metadata[study]": "a b"}) == [third, first]
    assert await api.ids(**{"metadata[study]": "a b", "metadata[year]": "2019"}) == [first]
    assert await api.ids(status=["running", "uploading"]) == [third]
    page = (await api.http.get("/v1/analyses", params={"limit": 2})).json()
    assert await api.ids(limit=2, after=page["after"]) == [first]


@pytest.mark.parametrize(
    ("params", "param"),
    [
        ({"state": "running"}, "state"),
        ({"status": "done"}, "status.0"),
        ({"limit": 0}, "limit"),
        ({"metadata": "x"}, "metadata"),
    ],
)
async def test_a_misspelt_question_is_refused_by_its_name(api: Api, params: dict[str, Any], param: str) -> None:
    assert error(await api.http.get("/v1/analyses", params=params))["param"] == param


async def test_the_totals_of_an_analysis_are_those_of_its_calls(api: Api) -> None:
    """Tokens and calls are counted when a call ends, so that they are exact at every moment."""
    batch = await api.start()
    await api.worker.work()
    told = (await api.http.get(f"/v1/analyses/{batch}")).json()
    assert told["calls"] == 2
    assert set(told["usage"]) == {"prompt_tokens", "output_tokens"}


async def test_documents_are_paged_and_each_says_how_it_stands(api: Api) -> None:
    batch = await api.start(documents=[*TEXTS, {"text": "three", "name": "bad"}])
    await api.worker.work()
    path = f"/v1/analyses/{batch}/documents"
    page = (await api.http.get(path, params={"limit": 2})).json()
    assert [one["document"] for one in page["documents"]] == ["a", "b"]
    assert page["documents"][0]["state"] == "succeeded"
    (last,) = (await api.http.get(path, params={"after": page["after"]})).json()["documents"]
    assert (last["state"], last["error"]["code"], last["attempts"]) == ("failed", "damaged", 1)
    assert "answer" not in last


async def test_rows_name_the_request_that_made_them(api: Api) -> None:
    """The same request has the same hash, another question another."""
    hashes = []
    for question in ("Who?", "Who?", "Where?"):
        batch = await api.start(task="ask", options={"question": question})
        await api.worker.work()
        lines = (await api.http.get(f"/v1/analyses/{batch}/results")).text.splitlines()
        hashes += [line.partition('"task_hash": "')[2][:64] for line in lines[:1]]
    assert hashes[0] == hashes[1] != hashes[2]
    assert len(hashes[0]) == 64


async def test_failed_rows_are_tried_again(api: Api) -> None:
    batch = await sealed_batch(api.store, 2)
    hands = Hands(api.store)
    await hands.do(Verdict.FAILED)
    await hands.do()
    answer = await api.http.post(f"/v1/analyses/{batch}/retry")
    assert answer.json() == {"id": batch, "retried": 1, "skipped": 0}
    assert error(await api.http.post(f"/v1/analyses/{batch}-0/retry"))["status"] == 400


async def test_what_cannot_be_read_is_not_tried_again_unless_that_is_asked_for(api: Api) -> None:
    """It would fail as it did; what failed for another reason is tried."""
    batch = await api.start(documents=[{"text": "three", "name": "bad"}, *TEXTS])
    await api.worker.work()
    path = f"/v1/analyses/{batch}/retry"
    key = {"idempotency-key": "monday"}
    for _ in range(2):
        assert (await api.http.post(path, headers=key)).json() == {"id": batch, "retried": 0, "skipped": 1}
    assert (await api.store.batch(batch)).state.value == "completed"
    assert error(await api.http.post(f"{path}?all=true", headers=key))["status"] == 409
    assert (await api.http.post(f"{path}?all=true")).json() == {"id": batch, "retried": 1, "skipped": 0}
    assert await api.worker.work() == 1


async def test_a_retry_that_is_sent_again_starts_none_twice(api: Api) -> None:
    """Its answer was lost, and one has failed again since; what a door that died had not come to is started yet."""
    batch = await sealed_batch(api.store, 3)
    hands, key = Hands(api.store), {"idempotency-key": "monday"}
    for _ in range(3):
        await hands.do(Verdict.FAILED)
    path = f"/v1/analyses/{batch}/retry"
    await api.store.call("retry", f"{batch}-0", "row", once_of_key(api.app, "monday"))  # then the door died
    answer = await api.http.post(path, headers=key)
    assert answer.json() == {"id": batch, "retried": 3, "skipped": 0}
    first = await hands.do(Verdict.FAILED)
    again = await api.http.post(path, headers=key)
    assert again.json() == answer.json()
    assert (await api.store.job(first)).state is State.FAILED
    assert error(await api.http.post(f"/v1/analyses/{await api.start()}/retry", headers=key))["status"] == 409
    other = await api.http.post(path, headers={"idempotency-key": "tuesday"})
    assert other.json()["retried"] == 1


def once_of_key(app: FastAPI, key: str) -> str:
    """What a request of this test's client is known by."""
    scope = {"type": "http", "app": app, "headers": [(b"idempotency-key", key.encode())], "client": ("127.0.0.1", 1)}
    enter(scope, labelled(scope, Headers(scope=scope)))
    return once_of(Request(scope))


async def test_a_deletion_is_answered_with_a_receipt_each_time(api: Api) -> None:
    batch = await api.start()
    await api.worker.work()
    first = await api.http.delete(f"/v1/analyses/{batch}")
    receipt = first.json()
    assert (first.status_code, receipt["finished"], receipt["documents"]) == (200, True, 2)
    assert (await api.http.delete(f"/v1/analyses/{batch}")).json() == receipt
    for path in ("", "/results", "/documents"):
        assert error(await api.http.get(f"/v1/analyses/{batch}{path}"))["code"] == "deleted"
    assert error(await api.http.delete("/v1/analyses/an_00000000000000000000000000"))["status"] == 404
    assert await api.ids() == []


async def test_retention_is_the_requests_within_the_fleets_bound(api: Api) -> None:
    """Longer than the fleet keeps others is granted up to `results.max_days`."""
    longer, default = await api.start(retention_hours=200.0), await api.start()
    await api.worker.work()
    kept = {}
    for batch in (longer, default):
        told = (await api.http.get(f"/v1/analyses/{batch}")).json()
        kept[batch] = (told["expires_ms"] - told["finished_ms"]) / 3_600_000
    assert kept == {longer: 200.0, default: 48.0}
    body = {"task": "summarize", "documents": TEXTS, "retention_hours": 241}
    refused = error(await api.http.post("/v1/analyses", json=body))
    assert (refused["status"], refused["param"]) == (400, "retention_hours")
    assert "240 hours" in refused["message"]
