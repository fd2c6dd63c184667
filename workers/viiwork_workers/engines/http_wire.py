"""Connections to one HTTP/1.1 server, kept open between requests, one request at a time on each."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

from viiwork_workers.engines.http_line import Broken, Exchange, Line

CONNECT_S = 5.0
AT_ONCE_S = 1.0
"""A kept connection that the server had closed fails within this. One that fails later failed with the request in
it: to send that again could kill a second engine with it."""


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
