"""Connections to engines: what comes of answers, of no answers, and of connections that were kept."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from tests.fakes.http import Connection, Reply, Request
from viiwork_workers.engines.server.http_session import Broken, Connections

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"transfer-encoding: chunked\r\n\r\n"
KEPT = OK + b"content-length: 5\r\n\r\nfirst"
ANSWERS = {
    "by length": (OK + b"Content-Length: 5\r\n\r\nhello",),
    "in chunks": (CHUNKED + b"2\r\nhe\r\n", b"3;x=y\r\nllo\r\n0\r\n\r\n"),
    "with a trailer": (CHUNKED + b"5\r\nhello\r\n0\r\n", b"X-Sum: 1\r\n\r\n"),
    "after a go-ahead": (b"HTTP/1.1 100 Continue\r\n\r\n", OK, b"content-length: 5\r\n\r\nhello"),
    "then closed": (OK + b"connection: close\r\ncontent-length: 5\r\n\r\nhello",),
    "in HTTP/1.0": (b"HTTP/1.0 200 OK\r\ncontent-length: 5\r\n\r\n", b"hello"),
    "byte by byte": tuple(bytes([byte]) for byte in OK + b"content-length: 5\r\n\r\nhello"),
    "packed, as nobody asked": (OK + b"content-encoding: gzip\r\ncontent-length: 5\r\n\r\nhello",),
}
NO_ANSWERS = {
    "another protocol": (b"SSH-2.0-OpenSSH_9.2\r\n\r\n",),
    "no code": (b"HTTP/1.1 abc\r\n\r\n",),
    "no length": (OK + b"content-length: five\r\n\r\n",),
    "no name": (OK + b"just words\r\n\r\n",),
    "no chunk size": (CHUNKED, b"5\r\nhello\r\n", b"xyz\r\n"),
    "a chunk that goes on": (CHUNKED, b"2\r\nhello\r\n"),
    "a head without end": (OK + b"x: " + b"y" * 70_000,),
    "headers without end": (OK + b"x: y\r\n" * 10_000,),
    "nothing": (b"", b"cut"),
    "half a head": (OK + b"content-le", b"cut"),
    "half a body": (OK + b"content-length: 5\r\n\r\nhell", b"cut"),
    "half a chunk": (CHUNKED + b"5\r\nhell", b"cut"),
    "no last chunk": (CHUNKED + b"5\r\nhello\r\n", b"cut"),
}


@pytest.fixture
def own_certificate(tmp_path: Path) -> ssl.SSLContext:
    """Made by us for ourselves."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    made = x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + timedelta(days=1))
    pem = made.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)
    pem += key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (tmp_path / "both.pem").write_bytes(pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "both.pem")
    return context


class Server:
    """Answers each request with the next of these packets, as they are; `cut` closes the connection."""

    def __init__(self, *answers: tuple[bytes, ...]) -> None:
        self.answers = list(answers)
        self.requests: list[Request] = []
        self.connections = 0

    def connect(self) -> asyncio.Protocol:
        self.connections += 1
        return Raw(self.requests.append, self.answers)


class Raw(Connection):
    """The fake server's connection, with bytes for answers."""

    def __init__(self, seen: Callable[[Request], None], answers: list[tuple[bytes, ...]]) -> None:
        super().__init__(self._say)
        self._seen = seen
        self._answers = answers

    async def _say(self, request: Request, _: Reply) -> None:
        self._seen(request)
        assert self._transport is not None
        for packet in self._answers.pop(0):
            await asyncio.sleep(0.001)
            self._transport.close() if packet == b"cut" else self._transport.write(packet)


class Line:
    """To one server."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.connections = Connections()
        self.received = 0

    async def ask(self, body: bytes = b"{}") -> tuple[int, bytes]:
        said = b""
        async with self.connections.post(self.url, body, headers={"X-Key": "k"}, heard=self._heard) as exchange:
            while piece := await exchange.more():
                said += piece
        return exchange.status, said

    def _heard(self, count: int) -> None:
        self.received += count


@asynccontextmanager
async def line_to(server: Server, *, tls: ssl.SSLContext | None = None) -> AsyncIterator[Line]:
    listening = await asyncio.get_running_loop().create_server(server.connect, "127.0.0.1", 0, ssl=tls)
    line = Line(f"http{'s' if tls else ''}://127.0.0.1:{listening.sockets[0].getsockname()[1]}/v1/x")
    yield line
    await line.connections.close()
    listening.close()


@pytest.mark.parametrize("kind", ANSWERS)
async def test_an_answer_is_read_however_it_comes(kind: str) -> None:
    """Its bytes are told as they come, and as they are."""
    async with line_to(Server(ANSWERS[kind])) as line:
        assert await line.ask() == (200, b"hello")
        assert line.received == 5


@pytest.mark.parametrize("kind", NO_ANSWERS)
async def test_what_is_no_answer_is_said_to_be_none(kind: str) -> None:
    """In words of ours; over a new connection it is not asked for twice."""
    server = Server(NO_ANSWERS[kind])
    async with line_to(server) as line:
        with pytest.raises(Broken) as caught:
            await line.ask()
    assert len(server.requests) == 1
    assert not any(word in str(caught.value) for word in ("hell", "SSH", "words"))


async def test_a_kept_connection_that_ends_without_a_word_was_closed_before() -> None:
    """The request goes out once more."""
    server = Server((KEPT,), (b"cut",), (KEPT,))
    async with line_to(server) as line:
        await line.ask()
        assert await line.ask() == (200, b"first")
    assert (len(server.requests), server.connections) == (3, 2)


@pytest.mark.parametrize("kind", [kind for kind in NO_ANSWERS if kind != "nothing"])
async def test_a_kept_connection_that_says_anything_has_got_the_request(kind: str) -> None:
    """To send it again could kill a second engine."""
    server = Server((KEPT,), NO_ANSWERS[kind], (KEPT,))
    async with line_to(server) as line:
        await line.ask()
        with pytest.raises(Broken):
            await line.ask()
    assert len(server.requests) == 2


async def test_a_connection_that_the_server_closes_while_it_is_kept_is_not_used_again() -> None:
    """It is seen before anything is sent."""
    server = Server((KEPT, b"cut"), (KEPT,))
    async with line_to(server) as line:
        await line.ask()
        await asyncio.sleep(0.01)
        await line.ask()
    assert (len(server.requests), server.connections) == (2, 2)


async def test_nothing_is_followed_and_nothing_is_kept_from_an_answer() -> None:
    """No redirect, no cookie; the request says what it must, and no more."""
    moved = b"HTTP/1.1 307 Moved\r\nlocation: /other\r\nset-cookie: a=b\r\ncontent-length: 0\r\n\r\n"
    server = Server((moved,), (KEPT,))
    async with line_to(server) as line:
        assert await line.ask() == (307, b"")
        assert await line.ask() == (200, b"first")
    assert set(server.requests[1].headers) == {"host", "accept", "x-key", "content-length", "content-type"}


async def test_a_proxy_of_the_environment_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """An engine is where it says it is."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    async with line_to(Server((KEPT,))) as line:
        assert await line.ask() == (200, b"first")


async def test_a_request_of_megabytes_is_sent_whole() -> None:
    """As texts to embed can be."""
    server = Server((KEPT,))
    async with line_to(server) as line:
        await line.ask(b"x" * (3 << 20))
    assert len(server.requests[0].body) == 3 << 20


async def test_a_certificate_of_nobody_is_not_trusted(own_certificate: ssl.SSLContext) -> None:
    """The key would go to whoever stands in between."""
    server = Server((KEPT,))
    async with line_to(server, tls=own_certificate) as line:
        with pytest.raises(Broken, match="no connection"):
            await line.ask()
    assert server.requests == []


async def test_who_closes_ends_what_is_under_way_and_may_close_again() -> None:
    """Nobody waits on."""
    server = Server((CHUNKED + b"5\r\nhello\r\n",))
    async with line_to(server) as line:
        running = asyncio.create_task(line.ask())
        while not line.received:
            await asyncio.sleep(0.001)
        await line.connections.close()
        await line.connections.close()
        with pytest.raises(Broken):
            await running
