"""HTTP to engines, by aiohttp: the connections that stay open between requests, and one request on one of them.

Why not httpx, which the rest of the project speaks: with 64 requests in flight it spends 6 to 8 ms of CPU on each, and
15 on one of 64 streamed pieces. A whole `ServerEngine.run` over aiohttp 3.14 takes 0.24 ms, or 1.6 streamed; over a
client written for this alone, without pools and parsers for everything else, it took 0.07 and 1.4 (measured).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from io import BytesIO
from types import SimpleNamespace

import aiohttp
from aiohttp.http import HttpProcessingError, RawResponseMessage

LARGEST_ANSWER_BYTES = 64 << 20
CONNECT_S = 5.0
KEPT_S = 1.0
"""How long a connection waits for its next request. Engines close theirs after 5 s (uvicorn, llama-server)."""
AT_ONCE_S = 1.0
"""A kept connection that the server had closed fails within this. One that fails later failed with the request in
it: to send that again could kill a second engine with it."""
LOOK_S = 1.0

TROUBLE = (aiohttp.ClientError, HttpProcessingError, OSError)


class Broken(Exception):
    """Raised when no connection is made, or it ends, or what comes over it is no HTTP."""


class Exchange:
    """A request that was sent, and its answer as it comes in."""

    def __init__(self, response: aiohttp.ClientResponse, heard: Callable[[int], None]) -> None:
        self.status = response.status
        self.streams = response.content_type == "text/event-stream"
        self.retry_after = response.headers.get("Retry-After", "")
        self._content = response.content
        self._heard = heard
        self._received = 0
        self._protocol = response.connection and response.connection.protocol
        self._next_look = asyncio.get_running_loop().call_later(LOOK_S, self._look)

    async def more(self) -> bytes:
        """All of the body that has come in and was not read yet; nothing at its end. Raises Broken."""
        try:
            piece = await self._content.readany()
        except TROUBLE as error:
            raise Broken("its answer broke off") from error
        self._received += len(piece)
        self._heard(len(piece))
        if self._received > LARGEST_ANSWER_BYTES:
            raise Broken(f"its answer has more than {LARGEST_ANSWER_BYTES >> 20} MiB")
        return piece

    def close(self) -> None:
        """Nobody reads on."""
        self._next_look.cancel()

    def _look(self) -> None:
        """aiohttp (3.14.5) tells its protocol and not who reads when a chunk cannot be understood that came after the
        head: without this, the reader waits for ever."""
        unread = not self._content.is_eof() and self._content.exception() is None
        if unread and self._protocol is not None and self._protocol.exception() is not None:
            self._content.set_exception(aiohttp.ClientPayloadError())
        self._next_look = asyncio.get_running_loop().call_later(LOOK_S, self._look)


class Connections:
    """To whatever servers are asked: as many as there are requests at a time."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None

    @asynccontextmanager
    async def post(
        self, url: str, body: bytes, *, headers: Mapping[str, str], heard: Callable[[int], None]
    ) -> AsyncIterator[Exchange]:
        """Send a request; yields once the answer's head is there, and closes the connection on the way out
        unless the answer was read to its end. Raises Broken."""
        response = await self._sent(url, body, headers)
        exchange = Exchange(response, heard)
        try:
            yield exchange
        finally:
            exchange.close()
            response.release()

    async def close(self) -> None:
        """Close all. What is under way in them fails with Broken."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def _sent(self, url: str, body: bytes, headers: Mapping[str, str]) -> aiohttp.ClientResponse:
        """Over a kept connection if it turns out to be alive, else over a new one. aiohttp sends no POST again."""
        session = self._session = self._session or _session()
        loop = asyncio.get_running_loop()
        while True:
            kept, sent_s = SimpleNamespace(reused=False), loop.time()
            try:
                return await session.post(
                    url, data=BytesIO(body), headers=headers, allow_redirects=False, trace_request_ctx=kept
                )
            except TROUBLE as error:
                at_once = loop.time() - sent_s <= AT_ONCE_S
                if not (kept.reused and at_once and _heard_nothing(error)) or session.closed:
                    raise Broken(_why(error)) from error


def _session() -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=KEPT_S),
        timeout=aiohttp.ClientTimeout(total=None, connect=CONNECT_S),  # an attempt has a time of its own
        cookie_jar=aiohttp.DummyCookieJar(),
        skip_auto_headers=("Accept-Encoding", "User-Agent"),
        auto_decompress=False,
        trust_env=False,
        trace_configs=[_reuse_noted()],
    )


def _heard_nothing(error: Exception) -> bool:
    half_a_head = isinstance(error, aiohttp.ServerDisconnectedError) and isinstance(error.message, RawResponseMessage)
    return isinstance(error, aiohttp.ClientConnectionError) and not half_a_head


def _why(error: Exception) -> str:
    """In our words: the library's may quote what came."""
    if isinstance(error, (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)):
        return "no connection to it can be made"
    return "it closed the connection" if isinstance(error, aiohttp.ClientConnectionError) else "it speaks no HTTP"


def _reuse_noted() -> aiohttp.TraceConfig:
    async def reused(_: aiohttp.ClientSession, context: SimpleNamespace, __: object) -> None:
        context.trace_request_ctx.reused = True

    noted = aiohttp.TraceConfig()
    noted.on_connection_reuseconn.append(reused)
    return noted
