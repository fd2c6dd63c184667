"""Connections to one HTTP/1.1 server, kept open between requests, one request at a time on each."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

from viiwork_workers.engines.http_parse import AnswerParser, BadAnswer

CONNECT_S = 5.0
LARGEST_ANSWER_BYTES = 64 << 20
AT_ONCE_S = 1.0
"""A kept connection that the server had closed fails within this. One that fails later failed with the request in
it: to send that again could kill a second engine with it."""


class Broken(Exception):
    """Raised when no connection is made, or it ends, or what comes over it is no HTTP."""


class Exchange:
    """A request that was sent, and its answer as it comes in. Any number of bytes may lie in it unread."""

    def __init__(self, heard: Callable[[int], None]) -> None:
        self.received = 0
        self.parser = AnswerParser()
        self._heard = heard
        self._pieces: list[bytes] = []
        self._broken: Broken | None = None
        self._news: asyncio.Future[None] | None = None

    async def head(self) -> int:
        """Wait for the status code. Raises Broken."""
        while not self.parser.status:
            await self._more()
        return self.parser.status

    async def pieces(self) -> AsyncIterator[bytes]:
        """The body as it comes in. Raises Broken when it breaks off."""
        while True:
            if self._pieces:
                joined = b"".join(self._pieces)
                self._pieces.clear()
                yield joined
            elif self.parser.done:
                return
            else:
                await self._more()

    def take(self, data: bytes) -> None:
        """Called with what has come in."""
        self.received += len(data)
        self._heard(len(data))
        try:
            self._pieces += self.parser.feed(data)
        except BadAnswer as error:
            self.fail(Broken(f"its answer cannot be read: {error}"))
        if self.received > LARGEST_ANSWER_BYTES:
            self._pieces.clear()
            self.fail(Broken(f"its answer has more than {LARGEST_ANSWER_BYTES >> 20} MiB"))
        self._wake()

    def lost(self) -> None:
        """Called when the connection has ended."""
        try:
            self.parser.end()
        except BadAnswer:
            self.fail(Broken("it closed the connection"))
        self._wake()

    def fail(self, why: Broken) -> None:
        """Called when nothing more can come."""
        self._broken = self._broken or why
        self._wake()

    async def _more(self) -> None:
        if self._broken is not None:
            raise self._broken
        self._news = asyncio.get_running_loop().create_future()
        await self._news
        self._news = None

    def _wake(self) -> None:
        if self._news is not None and not self._news.done():
            self._news.set_result(None)


class Line(asyncio.Protocol):
    """One connection."""

    def __init__(self) -> None:
        self.open = False
        self._transport: asyncio.Transport | None = None
        self._exchange: Exchange | None = None

    def send(self, request: bytes, exchange: Exchange) -> None:
        """Send a request; what comes from now on is its answer."""
        self._exchange = exchange
        if self._transport is None or not self.open:
            exchange.fail(Broken("it closed the connection"))
            return
        self._transport.write(request)

    def free(self) -> bool:
        """Let go of the answer; whether the connection can carry another."""
        exchange, self._exchange = self._exchange, None
        if self.open and exchange is not None and exchange.parser.reusable:
            return True
        self.abort()
        return False

    def abort(self, why: Broken | None = None) -> None:
        """Close at once: an engine stops to generate when it sees this."""
        self.open = False
        if self._exchange is not None and why is not None:
            self._exchange.fail(why)
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - for the type checker: TCP has no other
        self._transport = transport
        self.open = True

    def data_received(self, data: bytes) -> None:
        if self._exchange is None:
            self.abort()  # nobody asked
        else:
            self._exchange.take(data)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's own signature
        self.open = False
        if self._exchange is not None:
            self._exchange.lost()


class Connections:
    """All connections to one server: as many as there are requests at a time."""

    def __init__(self, url: str, *, headers: tuple[tuple[str, str], ...] = (), heard: Callable[[int], None]) -> None:
        parts = urlsplit(url)
        self._tls = ssl.create_default_context() if parts.scheme == "https" else None
        self._host = parts.hostname or ""
        self._port = parts.port or (443 if self._tls else 80)
        self._prefix = parts.path.rstrip("/")
        said = (("Host", parts.netloc.rpartition("@")[2]), ("Content-Type", "application/json"), *headers)
        self._headers = "".join(f"{name}: {value}\r\n" for name, value in said)
        self._heard = heard
        self._idle: list[Line] = []
        self._lines: set[Line] = set()
        self._closed: Broken | None = None

    @asynccontextmanager
    async def post(self, path: str, body: bytes) -> AsyncIterator[Exchange]:
        """Send a request; yields once the answer's head is there, and closes the connection on the way out
        unless the answer was read to its end. Raises Broken."""
        head = f"POST {self._prefix}{path} HTTP/1.1\r\n{self._headers}Content-Length: {len(body)}\r\n\r\n"
        request = head.encode("latin-1") + body
        line, exchange = await self._sent(request)
        try:
            await exchange.head()
            yield exchange
        finally:
            self._put_back(line)

    def close(self, why: str) -> None:
        """Close all; what is under way in them fails with Broken, and so does what comes after."""
        self._closed = Broken(why)
        for line in self._lines:
            line.abort(self._closed)
        self._lines.clear()
        self._idle.clear()

    async def _sent(self, request: bytes) -> tuple[Line, Exchange]:
        """Over a kept connection if it turns out to be alive, else over a new one."""
        line = self._kept()
        while line is not None:
            exchange = Exchange(self._heard)
            line.send(request, exchange)
            if await self._lives(line, exchange):
                return line, exchange
            line = self._kept()
        line, exchange = await self._connect(), Exchange(self._heard)
        line.send(request, exchange)
        return line, exchange

    async def _lives(self, line: Line, exchange: Exchange) -> bool:
        """False if the server had closed the connection before it got the request."""
        loop = asyncio.get_running_loop()
        sent_s = loop.time()
        try:
            await exchange.head()
        except Broken:
            if exchange.received or loop.time() - sent_s > AT_ONCE_S or self._closed:
                self._put_back(line)
                raise
            self._put_back(line)
            return False
        except BaseException:
            self._put_back(line)
            raise
        return True

    def _kept(self) -> Line | None:
        while self._idle:
            line = self._idle.pop()
            if line.open:
                return line
            self._lines.discard(line)
        return None

    async def _connect(self) -> Line:
        if self._closed is not None:
            raise self._closed
        try:
            async with asyncio.timeout(CONNECT_S):
                loop = asyncio.get_running_loop()
                _, line = await loop.create_connection(Line, self._host, self._port, ssl=self._tls)
        except (OSError, TimeoutError) as error:
            raise Broken("no connection to it can be made") from error
        if self._closed is not None:
            line.abort()
            raise self._closed
        self._lines.add(line)
        return line

    def _put_back(self, line: Line) -> None:
        if line.free():
            self._idle.append(line)
        else:
            self._lines.discard(line)
