"""Limits at the door: what an answer tells, how a refusal is told, and how the official SDK takes it."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import openai
import pytest

from keyed import JOB, TEXTS, Keyed, keyed_door, limited_key
from service import Service
from viiwork import Client, TextDocument
from viiwork.api import keyring
from viiwork.apikeys import Scope
from viiwork.client import blocking
from viiwork.errors import QuotaExceeded, RateLimited
from viiwork.limits import Limits
from viiwork.store import apikeys


@pytest.fixture
async def door(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Keyed]:
    monkeypatch.setattr(keyring, "FRESH_S", 0.0)  # so that nothing has to be waited for
    async with keyed_door(tmp_path) as made:
        yield made


async def test_an_answer_tells_what_is_left(door: Keyed) -> None:
    secret = await limited_key(door, interactive_requests_per_minute=60, interactive_tokens_per_minute=100_000)
    answered = await door.ask(secret, "POST", "/v1/jobs", json=JOB)
    assert answered.status_code == 202
    assert answered.headers["x-ratelimit-limit-requests"] == "60"
    assert answered.headers["x-ratelimit-remaining-requests"] == "59"
    assert answered.headers["x-ratelimit-reset-requests"] in ("1s", *(f"{ms}ms" for ms in range(800, 1000)))
    assert answered.headers["x-ratelimit-limit-tokens"] == "100000"
    assert int(answered.headers["x-ratelimit-remaining-tokens"]) < 100_000


async def test_what_is_not_counted_tells_nothing(door: Keyed) -> None:
    """Looking is free; and a key without limits has none to tell."""
    limited, free = await limited_key(door, interactive_requests_per_minute=60), await limited_key(door, "free")
    for secret, method, path in ((limited, "GET", "/v1/fleet"), (free, "POST", "/v1/jobs")):
        answered = await door.ask(secret, method, path, json=JOB if method == "POST" else None)
        assert not [name for name in answered.headers if name.startswith("x-ratelimit")]


async def test_a_refusal_says_what_is_short_and_when_to_come_back(door: Keyed) -> None:
    secret = await limited_key(door, interactive_requests_per_minute=1)
    assert (await door.ask(secret, "POST", "/v1/jobs", json=JOB)).status_code == 202
    refused = await door.ask(secret, "POST", "/v1/jobs", json=JOB)
    assert refused.status_code == 429
    error = refused.json()["error"]
    assert (error["type"], error["code"], error["param"]) == ("requests", "rate_limit_exceeded", None)
    assert "This key may send 1 requests a minute in the interactive lane" in error["message"]
    assert 50 < int(refused.headers["retry-after"]) <= 60
    assert 50_000 < int(refused.headers["retry-after-ms"]) <= 60_000
    assert refused.headers["x-ratelimit-remaining-requests"] == "0"
    assert "x-should-retry" not in refused.headers


async def test_a_month_that_is_used_up_is_not_worth_a_retry(door: Keyed) -> None:
    secret = await limited_key(door, monthly_tokens=10)
    refused = await door.ask(secret, "POST", "/v1/jobs", json=JOB)
    assert refused.status_code == 429
    assert refused.json()["error"]["code"] == refused.json()["error"]["type"] == "insufficient_quota"
    assert "calendar month (UTC)" in refused.json()["error"]["message"]
    assert refused.headers["x-should-retry"] == "false"
    assert "retry-after" not in refused.headers


async def test_two_keys_of_a_tenant_are_one_for_the_fleets_limits(door: Keyed) -> None:
    door.app.state.intake.settings = door.app.state.intake.settings.model_copy(
        update={"limits": Limits(interactive_requests_per_minute=1)}
    )
    first, second, other = (
        await limited_key(door),
        await limited_key(door, "bot", tenant="anna"),
        await limited_key(door, "bob"),
    )
    assert (await door.ask(first, "POST", "/v1/jobs", json=JOB)).status_code == 202
    assert (await door.ask(second, "POST", "/v1/jobs", json=JOB)).status_code == 429
    assert (await door.ask(other, "POST", "/v1/jobs", json=JOB)).status_code == 202


async def test_a_folder_in_the_interactive_lane_is_refused_with_the_command_to_use(door: Keyed) -> None:
    secret = await limited_key(door, interactive_documents=1)
    refused = await door.ask(secret, "POST", "/v1/analyses", json=TEXTS | {"lane": "interactive"})
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "too_many_documents")
    assert "viiwork analyze PATH… --lane batch" in refused.json()["error"]["message"]
    assert (await door.ask(secret, "POST", "/v1/analyses", json=TEXTS)).status_code == 202
    lines = (json.dumps(JOB) + "\n") * 2
    headers = {"content-type": "application/x-ndjson"}
    refused = await door.ask(secret, "POST", "/v1/jobs?lane=interactive", content=lines, headers=headers)
    assert "viiwork submit FILE --lane batch" in refused.json()["error"]["message"]


async def test_what_a_limit_cut_goes_on_under_the_same_idempotency_key(door: Keyed) -> None:
    """What was taken stays and is not counted twice."""
    secret = await limited_key(door, batch_requests_per_minute=2)
    texts = {"task": "summarize", "documents": [{"text": f"number {n}"} for n in range(3)]}
    once = {"idempotency-key": "a-folder"}
    refused = await door.ask(secret, "POST", "/v1/analyses", json=texts, headers=once)
    assert (refused.status_code, refused.json()["error"]["code"]) == (429, "rate_limit_exceeded")
    assert "goes on as an_" in refused.json()["error"]["message"]
    assert refused.headers["x-viiwork-taken"] == "2"
    (holder,) = [one for one in await apikeys.every(door.store) if one.name == "anna"]
    await apikeys.limit(door.store, holder, Limits(batch_requests_per_minute=60))
    await door.store.client.delete(*[name async for name in door.store.client.scan_iter(match="*rate:*")])
    taken = await door.ask(secret, "POST", "/v1/analyses", json=texts, headers=once)
    assert taken.status_code == 202
    assert taken.json()["counts"]["total"] == 3
    assert taken.headers["x-ratelimit-remaining-requests"] == "59"


async def test_what_nobody_could_go_on_with_is_refused_whole_and_uncharged(door: Keyed) -> None:
    """Without an Idempotency-Key what was taken would be cancelled, and have been paid for."""
    secret = await limited_key(door, batch_requests_per_minute=2)
    texts = {"task": "summarize", "documents": [{"text": f"number {n}"} for n in range(3)]}
    refused = await door.ask(secret, "POST", "/v1/analyses", json=texts)
    assert refused.status_code == 429
    assert "Idempotency-Key" in refused.json()["error"]["message"]
    told = (await door.ask(secret, "GET", "/v1/limits")).json()
    assert told["batch"]["requests_per_minute"] == {"most": 2, "left": 2, "full_in_ms": 0, "of": "key"}


async def test_whoever_has_a_key_may_ask_for_its_limits(door: Keyed) -> None:
    secret = await limited_key(door, monthly_tokens=100_000, batch_backlog=7)
    await door.ask(secret, "POST", "/v1/jobs", json=JOB)
    told = (await door.ask(secret, "GET", "/v1/limits")).json()
    assert told["monthly_tokens"]["most"] == 100_000
    assert told["used_this_month"] == 100_000 - told["monthly_tokens"]["left"]
    assert told["batch"]["backlog"] == {"most": 7, "left": 7, "of": "key"}
    assert told["interactive"] == {"documents": 200}


class TestLimitsOfKeys:
    async def test_an_admin_says_and_sees_them(self, door: Keyed) -> None:
        boss = await door.key("boss", (Scope.ADMIN,))
        made = await door.ask(boss, "POST", "/v1/keys", json={"name": "anna", "limits": {"monthly_tokens": 5}})
        assert made.json()["key"]["limits"] == {"monthly_tokens": 5}
        said = {"batch_backlog": 9, "monthly_tokens": "none"}
        limited = await door.ask(boss, "POST", "/v1/keys/anna/limits", json=said)
        assert limited.json()["limits"] == {"monthly_tokens": "none", "batch_backlog": 9}
        back = await door.ask(boss, "POST", "/v1/keys/anna/limits", json={"monthly_tokens": None})
        assert back.json()["limits"] == {"batch_backlog": 9}
        told = await door.ask(boss, "GET", "/v1/keys/anna/limits")
        assert told.json()["batch"]["backlog"]["most"] == 9

    @pytest.mark.parametrize(
        "wrong", [{"monthly_tokens": True}, {"monthly_tokens": 0}, {"rpm": 5}, {"batch_backlog": "9"}]
    )
    async def test_nonsense_is_refused_by_its_name(self, door: Keyed, wrong: dict[str, Any]) -> None:
        boss = await door.key("boss", (Scope.ADMIN,))
        await limited_key(door)
        refused = await door.ask(boss, "POST", "/v1/keys/anna/limits", json=wrong)
        assert refused.status_code == 400
        error = refused.json()["error"]
        assert error["param"] == next(iter(wrong))
        assert "rpm" in wrong or re.search(r"must be a whole number from 1 to [0-9,]+, or `none`", error["message"])

    async def test_nobody_else_may(self, door: Keyed) -> None:
        secret = await limited_key(door)
        for method in ("GET", "POST"):
            answered = await door.ask(secret, method, "/v1/keys/anna/limits", json={} if method == "POST" else None)
            assert answered.status_code == 403


class TestTheOfficialSdk:
    @pytest.fixture
    def service(self, tmp_path: Path) -> Iterator[Service]:
        limits = {"interactive_requests_per_minute": 120, "monthly_tokens": 1000}
        with Service(tmp_path / "state", limits=limits) as running:
            yield running

    def test_it_waits_as_it_is_told_and_is_taken_then(self, service: Service) -> None:
        """120 a minute are one every half second: it sleeps until the bucket has one again."""
        refused: list[httpx.Response] = []

        def noted(response: httpx.Response) -> None:
            if response.status_code == 429:
                refused.append(response)

        http = httpx.Client(event_hooks={"response": [noted]}, timeout=60)
        with openai.OpenAI(base_url=f"{service.url}/v1", api_key="none", http_client=http, max_retries=5) as client:
            while not refused:  # on a busy machine half a second is over before the request has come
                service.run(_emptied(service))
                client.post("/jobs", body=JOB, cast_to=object)
        assert all(0 < int(response.headers["retry-after-ms"]) <= 500 for response in refused)

    def test_a_chat_tells_what_is_left_and_counts_as_one_request(self, service: Service) -> None:
        """Also one that streams: its headers come first."""
        turns = {"model": JOB["model"], "messages": JOB["messages"], "max_tokens": 50}
        with openai.OpenAI(base_url=f"{service.url}/v1", api_key="none") as client:
            whole = client.chat.completions.with_raw_response.create(**turns)
            assert whole.headers["x-ratelimit-limit-requests"] == "120"
            assert whole.headers["x-ratelimit-remaining-requests"] == "119"
            with client.chat.completions.with_streaming_response.create(**turns, stream=True) as stream:
                assert "x-ratelimit-remaining-requests" in stream.headers
            with pytest.raises(openai.RateLimitError) as refused:
                client.chat.completions.create(**turns | {"max_tokens": 2000})
        assert (refused.value.code, refused.value.type) == ("insufficient_quota", "insufficient_quota")

    def test_it_tries_a_month_that_is_used_up_once(self, service: Service) -> None:
        asked: list[httpx.Request] = []
        http = httpx.Client(event_hooks={"request": [asked.append]})
        with (
            openai.OpenAI(base_url=f"{service.url}/v1", api_key="none", http_client=http) as client,
            pytest.raises(openai.RateLimitError) as refused,
        ):
            client.post("/jobs", body=JOB | {"max_output_tokens": 2000}, cast_to=object)
        assert refused.value.code == refused.value.type == "insufficient_quota"
        assert refused.value.request_id
        assert len(asked) == 1


async def _emptied(service: Service) -> None:
    """As if 120 requests had just been sent."""
    seconds, micros = await service.store.client.time()
    moment = {"level": 0, "at": seconds * 1000 + micros // 1000, "most": 120}
    await service.store.client.hset(f"{service.store.prefix}rate:t:anonymous@127.0.0.1|interactive|r", mapping=moment)


def test_our_own_client_knows_a_limit_that_passes_by_itself(tmp_path: Path) -> None:
    with (
        Service(tmp_path / "state", limits={"interactive_requests_per_minute": 1}) as service,
        Client(service.url, busy_patience_s=0) as client,
    ):
        client.submit_job(prompt="hello", model=JOB["model"])
        with pytest.raises(RateLimited) as refused:
            client.submit_job(prompt="hello", model=JOB["model"])
    assert 50 < refused.value.retry_after_s <= 60


def test_our_own_client_sends_a_folder_as_the_limit_lets_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It waits as often as it must, and begins to lose patience only when nothing more is taken."""
    pauses: list[float] = []
    with (
        Service(tmp_path / "state", limits={"batch_requests_per_minute": 2}) as service,
        Client(service.url, busy_patience_s=85) as client,
    ):

        def passed(seconds: float) -> None:
            pauses.append(seconds)
            service.run(_forgotten(service))

        monkeypatch.setattr(blocking, "time", SimpleNamespace(sleep=passed))
        texts = [TextDocument(f"text {n}", name=f"{n}.txt") for n in range(5)]
        batch = client.analyze(texts, task="summarize")
        assert batch.status.counts.total == 5
    assert [round(pause) for pause in pauses] == [60, 30]


async def _forgotten(service: Service) -> None:
    """As if a minute had passed."""
    await service.store.client.delete(*[name async for name in service.store.client.scan_iter(match="*rate:*")])


def test_our_own_client_asks_once_where_the_month_is_used_up(tmp_path: Path) -> None:
    with (
        Service(tmp_path / "state", limits={"monthly_tokens": 1}) as service,
        Client(service.url) as client,
        pytest.raises(QuotaExceeded, match="calendar month"),
    ):
        client.submit_job(prompt="hello", model=JOB["model"])
