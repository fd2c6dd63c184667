"""Errors are the SDK's own exceptions, with the request's id, and it retries what a retry can help."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest
from openai import APIStatusError, BadRequestError, ConflictError, NotFoundError, OpenAI

from tests.contract_openai.lines import CHAT, jsonl, line, sent
from tests.front import MODEL, Front


def test_each_has_its_class_its_fields_and_its_request_id(sdk: OpenAI) -> None:
    with pytest.raises(BadRequestError) as told:
        sdk.chat.completions.create(model=MODEL, messages=[], extra_headers={"x-request-id": "mine-17"})
    assert (told.value.status_code, told.value.request_id) == (400, "mine-17")
    assert told.value.type == "invalid_request_error" and told.value.code and told.value.param
    with pytest.raises(NotFoundError) as missing:
        sdk.batches.retrieve("batch_nonsense")
    assert missing.value.request_id is not None and missing.value.request_id.startswith("req_")


def test_answers_have_their_request_id_too(sdk: OpenAI) -> None:
    answer = sdk.chat.completions.create(
        model=MODEL, messages=[{"role": "user", "content": "hi"}], max_tokens=4, extra_headers={"x-request-id": "mine"}
    )
    assert answer._request_id == "mine"


def test_a_final_conflict_is_not_tried_again(sdk: OpenAI, front: Front) -> None:
    """The same key with another body: once is enough."""
    file = sent(sdk, jsonl([line("a")]))
    said = {"Idempotency-Key": f"key-{file.id}"}
    sdk.batches.create(input_file_id=file.id, endpoint=CHAT, completion_window="24h", extra_headers=said)
    with pytest.raises(ConflictError) as told:
        sdk.batches.create(input_file_id=file.id, endpoint=CHAT, completion_window="48h", extra_headers=said)
    assert told.value.code == "idempotency_conflict"
    assert told.value.response.headers["x-should-retry"] == "false"


def test_an_address_that_there_is_not(front: Front) -> None:
    """What somebody sees who leaves `/v1` out."""
    with OpenAI(base_url=front.url, api_key="none") as lost, pytest.raises(NotFoundError) as told:
        lost.models.list()
    assert told.value.code == "not_found"


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/v1/batches"])
@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b'"a"', b"\xff\xfe", b'{"model": 7}', b"{}"])
def test_bodies_that_are_none_are_a_400_with_the_whole_error(front: Front, path: str, body: bytes) -> None:
    answer = httpx.post(f"{front.url}{path}", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 400
    assert set(answer.json()["error"]) == {"message", "type", "param", "code"}


class _Flaky(BaseHTTPRequestHandler):
    """Passes on to the service, but answers the first times as a service does that is busy or away."""

    status, headers_, times, target, asked = 429, {"retry-after": "0"}, 2, "", 0

    def do_POST(self) -> None:
        kind = type(self)
        body = self.rfile.read(int(self.headers["content-length"]))
        kind.asked += 1
        if kind.asked <= kind.times:
            self._say(kind.status, kind.headers_, b'{"error":{"message":"m","type":"t","param":null,"code":"busy"}}')
            return
        answer = httpx.post(kind.target + self.path, content=body, headers={"content-type": "application/json"})
        self._say(answer.status_code, {}, answer.content)

    def _say(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response(status)
        for name, value in (headers | {"content-type": "application/json", "content-length": str(len(body))}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_said: object) -> None:
        pass


@contextmanager
def flaky(front: Front, **said: object) -> Iterator[tuple[str, type[_Flaky]]]:
    kind = type("Flaky", (_Flaky,), {"target": front.url, **said})
    server = ThreadingHTTPServer(("127.0.0.1", 0), kind)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/v1", kind
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("header", [{"retry-after-ms": "1"}, {"retry-after": "0"}])
def test_the_sdk_comes_back_after_what_passes(front: Front, status: int, header: dict[str, str]) -> None:
    with flaky(front, status=status, headers_=header) as (url, kind), OpenAI(base_url=url, api_key="none") as sdk:
        answer = sdk.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": "hi"}], max_tokens=4)
    assert answer.choices and kind.asked == 3


def test_the_sdk_does_not_come_back_where_it_is_told_not_to(front: Front) -> None:
    said = {"status": 409, "headers_": {"x-should-retry": "false"}, "times": 9}
    with flaky(front, **said) as (url, kind), OpenAI(base_url=url, api_key="a") as sdk, pytest.raises(APIStatusError):
        sdk.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": "hi"}])
    assert kind.asked == 1
