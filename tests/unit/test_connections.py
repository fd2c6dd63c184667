"""Slow, endless and too many connections on a real socket: each ends with its reason; others are served meanwhile."""

from __future__ import annotations

import asyncio
import json
import re
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from service import Service
from viiwork.api.server import Server, make_server
from viiwork.api.stalls import ENOUGH_BYTES, Awaited, Stand
from viiwork.listening import listen
from viiwork.settings import ApiSection

PATIENCE_S = 60.0
HEAD = b"POST /v1/jobs HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
GET = b"GET /health/live HTTP/1.1\r\nhost: localhost\r\n\r\n"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    api = {"slow_s": 0.4, "max_connections": 8, "max_header_bytes": 8192}
    with Service(tmp_path_factory.mktemp("bounded"), idle=True, api=api) as running:
        yield running


@pytest.fixture
def client(service: Service) -> Iterator[socket.socket]:
    with connection(service) as opened:
        yield opened


def connection(service: Service) -> socket.socket:
    url = httpx.URL(service.url)
    return socket.create_connection((url.host, url.port or 0), timeout=PATIENCE_S)


def everything(client: socket.socket) -> bytes:
    """Until the other end hangs up."""
    got = b""
    try:
        while piece := client.recv(65536):
            got += piece
    except ConnectionResetError:
        pass
    return got


def refusal(raw: bytes) -> tuple[int, str]:
    """Status and code of a refusal, which has the form of all others."""
    head, _, body = raw.partition(b"\r\n\r\n")
    assert re.search(rb"x-request-id: req_[0-9a-f]{24}", head)
    assert b"connection: close" in head
    error = json.loads(body)["error"]
    assert set(error) == {"message", "type", "param", "code"}
    return int(head.split()[1]), error["code"]


def serves(service: Service) -> bool:
    return httpx.get(f"{service.url}/health/live", timeout=PATIENCE_S).status_code == 200


def test_a_head_that_does_not_end_is_refused(service: Service, client: socket.socket) -> None:
    """A line at a time, as slowloris does."""
    client.sendall(HEAD + b"x-a: b\r\n")
    assert refusal(everything(client)) == (408, "too_slow")
    assert serves(service)


def test_whoever_says_nothing_is_left(client: socket.socket) -> None:
    """No answer: nothing was asked."""
    assert everything(client) == b""


def test_blank_lines_are_nothing_said(client: socket.socket) -> None:
    """They would reset the clock of uvicorn's own keep-alive."""
    client.sendall(GET)
    assert client.recv(65536).startswith(b"HTTP/1.1 200")
    client.sendall(b"\r\n")
    assert refusal(everything(client)) == (408, "too_slow")


@pytest.mark.parametrize("start", [b"content-length: 100\r\n\r\n{", b"transfer-encoding: chunked\r\n\r\n"])
def test_a_body_that_does_not_come_is_refused(client: socket.socket, start: bytes) -> None:
    """Announced, begun and left there."""
    client.sendall(HEAD + start)
    assert refusal(everything(client)) == (408, "too_slow")


def test_a_body_that_trickles_is_refused(client: socket.socket) -> None:
    """A byte now and then is not progress."""
    client.sendall(HEAD + b"content-length: 100000\r\n\r\n{")
    client.settimeout(0.05)
    got = b""
    for _ in range(400):
        try:
            client.sendall(b" ")
            got = client.recv(65536)
        except TimeoutError:
            continue
        except ConnectionError:
            break
        if got:
            break
    assert refusal(got) == (408, "too_slow")


@pytest.mark.parametrize(
    "sent",
    [
        b"GET /" + b"a" * 20_000,
        HEAD + b"x-long: " + b"b" * 20_000,
        HEAD + b"".join(b"x-%d: 1\r\n" % n for n in range(101)) + b"\r\n",
        HEAD + b"x-long: " + b"b" * 8192 + b"\r\n\r\n",
        HEAD + b"transfer-encoding: chunked\r\n\r\n1;" + b"e" * 600_000,
    ],
    ids=["endless line", "endless field", "many fields", "large field", "endless chunk frame"],
)
def test_a_head_over_its_limit_is_refused(client: socket.socket, sent: bytes) -> None:
    """Whole or not, and what frames a body counts too."""
    client.sendall(sent)
    assert refusal(everything(client)) == (431, "head_too_large")


def test_fields_after_a_body_change_nothing(client: socket.socket) -> None:
    """Trailers are dropped: nothing here asks for them."""
    client.sendall(HEAD + b"transfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\nhost: elsewhere\r\n\r\n")
    assert client.recv(65536).startswith(b"HTTP/1.1 400")


@pytest.mark.parametrize("sent", [b"\x16\x03\x01\x02\x00", b"GET / HTTP/9.9\r\n\r\n", b"NOTHING\r\n\r\n"])
def test_what_is_no_http_is_refused(client: socket.socket, sent: bytes) -> None:
    """In the same form, and without a log line each."""
    client.sendall(sent)
    assert refusal(everything(client)) == (400, "invalid_request")


def test_requests_that_queue_up_are_bounded(client: socket.socket) -> None:
    """Pipelined ones wait in memory."""
    client.sendall(GET * 500)
    got = everything(client)
    assert got.count(b"HTTP/1.1 200") < 20
    assert b"HTTP/1.1 400" in got or got == b""


def test_a_thousand_silent_connections_keep_nobody_out(service: Service) -> None:
    """A new one takes the place of the one that has rested longest."""
    opened = [connection(service) for _ in range(40)]
    try:
        assert serves(service)
        assert everything(opened[0]) == b""
    finally:
        for each in opened:
            each.close()


def test_requests_under_way_are_not_pushed_out(tmp_path: Path) -> None:
    """Where all connections are at work the next one is told to come again. They take the time that they have."""
    with Service(tmp_path, idle=True, api={"slow_s": 600, "max_connections": 8}) as service, ExitStack() as opened:
        busy = [opened.enter_context(connection(service)) for _ in range(8)]
        for each in busy:
            each.sendall(HEAD + b"content-length: 100\r\n\r\n")
        service.run(all_under_way(service, 8))
        with connection(service) as late:
            late.sendall(GET)
            assert refusal(everything(late)) == (503, "crowded")
        service.run(time_is_over(service))
        assert [refusal(everything(each)) for each in busy] == [(408, "too_slow")] * 8


async def all_under_way(service: Service, number: int) -> None:
    """Once so many requests have been begun."""
    connections = service._server.server_state.connections
    while sum(each.idle_since_s is None for each in connections) < number:
        await asyncio.sleep(0.001)


async def time_is_over(service: Service) -> None:
    """Of whatever is awaited at all connections."""
    for each in tuple(service._server.server_state.connections):
        each._bounds = replace(each._bounds, slow_s=0.0)  # type: ignore[union-attr] # they are ours
        each._look()  # type: ignore[union-attr]


async def _flood(scope: object, receive: object, send: object) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})  # type: ignore[operator]
    while True:
        await send({"type": "http.response.body", "body": b"x" * 65536, "more_body": True})  # type: ignore[operator]
        await asyncio.sleep(0)


class _Alone(Server):
    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await super(Server, self).shutdown(sockets)


@asynccontextmanager
async def flooding() -> AsyncIterator[tuple[Server, socket.socket]]:
    """A service whose answer never ends, and a client of it that reads nothing."""
    listener = listen("127.0.0.1", 0)
    server = make_server(_flood, ApiSection(slow_s=0.4), kind=_Alone, graceful_s=1)
    server.config.lifespan = "off"
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    client = socket.create_connection(listener.getsockname())
    try:
        yield server, client
    finally:
        client.close()
        server.should_exit = True
        await serving


async def test_a_client_that_does_not_read_is_left() -> None:
    """Its answer would be kept for it for ever."""
    async with flooding() as (server, client):
        client.sendall(GET)
        async with asyncio.timeout(PATIENCE_S):
            while not server.server_state.tasks:
                await asyncio.sleep(0.01)
            while server.server_state.connections:
                await asyncio.sleep(0.01)


def test_bodies_under_way_have_one_room(tmp_path: Path) -> None:
    """What does not fit is told to come again, and what ended makes room; a body is held until its answer."""
    large = json.dumps({"messages": [{"role": "user", "content": "x" * 60_000}]})
    headers = {"content-type": "application/json"}
    api = {"max_json_bytes": 65_536, "max_bodies_bytes": 100_000}
    with (
        Service(tmp_path, idle=True, api=api) as narrow,
        httpx.Client(base_url=narrow.url, trust_env=False, timeout=PATIENCE_S, headers=headers) as http,
    ):
        assert http.post("/v1/jobs", content=large).status_code == 202
        with connection(narrow) as holder:
            holder.sendall(HEAD + b"content-length: 65000\r\n\r\n" + large[:50_000].encode())
            narrow.run(taken(narrow, 50_000))
            refused = http.post("/v1/jobs", content=large)
        assert refused.status_code == 429
        assert refused.json()["error"]["code"] == "busy"
        assert refused.headers["retry-after"] == "1"
        narrow.run(taken(narrow, 0))
        assert http.post("/v1/jobs", content=large).status_code == 202


async def taken(service: Service, size_bytes: int) -> None:
    """Once the bodies under way take so much."""
    while service._server.config.app.state.room.taken_bytes != size_bytes:  # type: ignore[union-attr]
        await asyncio.sleep(0.001)


def test_time_counts_from_the_last_that_moved() -> None:
    """By amounts, not by signs of life."""
    stand = Stand(Awaited.BODY, 0, 10.0)
    assert stand.later(Awaited.BODY, moved_bytes=ENOUGH_BYTES - 1, now_s=11.0) is stand
    assert stand.later(Awaited.BODY, moved_bytes=ENOUGH_BYTES, now_s=11.0).since_s == 11.0
    assert stand.later(Awaited.READER, moved_bytes=5, now_s=12.0) == Stand(Awaited.READER, 5, 12.0)
    head = Stand(Awaited.HEAD, 0, 10.0)
    assert head.later(Awaited.HEAD, moved_bytes=10 * ENOUGH_BYTES, now_s=11.0) is head
    assert [head.stalled(now_s=now_s, slow_s=3.0) for now_s in (12.9, 13.0)] == [False, True]
    assert not Stand(Awaited.NOTHING, 0, 0.0).stalled(now_s=1e6, slow_s=3.0)
