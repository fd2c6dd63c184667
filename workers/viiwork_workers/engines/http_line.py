"""One connection to an HTTP/1.1 server, and one request on it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

from viiwork_workers.engines.http_parse import AnswerParser, BadAnswer

LARGEST_ANSWER_BYTES = 64 << 20


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
