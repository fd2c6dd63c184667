"""One engine's HTTP interface: a request goes out, its answer comes back whole or piece by piece."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

from viiwork.errors import ViiworkError
from viiwork_workers.engines.base import OnText
from viiwork_workers.engines.server.dialects import Ask, encoded
from viiwork_workers.engines.server.fields import Garbled, Reported
from viiwork_workers.engines.server.http_session import Broken, Connections, Exchange
from viiwork_workers.engines.server.refusals import KEY_WRONG, NO_ROOM, REFUSED, key_wrong, no_room, own_doing, refusal
from viiwork_workers.engines.server.replies import Reply, read_reply
from viiwork_workers.engines.server.sse import Events, LineTooLong
from viiwork_workers.engines.server.transcript import Transcript
from viiwork_workers.engines.server.under_way import Over, UnderWay

LARGE_BYTES = 1 << 20
END_S = 1.0
"""How long the end of a stream's body may take after its last event."""


FELL_APART = 500
"""vLLM's HTTP server says so of every request when its EngineCore has died, and ends a moment later."""


class EngineTrouble(Exception):
    """Raised when an engine fails a request: whether it died, its keeper knows.

    `answered` when it certainly had not by then: its answer was whole.
    """

    def __init__(self, message: str, *, answered: bool = False) -> None:
        super().__init__(message)
        self.answered = answered


class OpenAIServer:
    """One life of a server that speaks the OpenAI API."""

    def __init__(self, url: str, *, key: str, heard: Callable[[int], None], connections: Connections) -> None:
        parts = urlsplit(url)
        # a name and password in the URL would stand against the key
        self._url = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl().rstrip("/")
        self._headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {key}"} if key else {})
        self._heard = heard
        self._connections = connections
        self._under_way = UnderWay()

    async def answer(self, ask: Ask, *, on_text: OnText | None = None) -> Reply:
        """Have a request answered; streamed when it says so, each piece of text told to `on_text`.

        Raises JobRefused, Busy, EngineFault when the server does not take our key, and EngineTrouble.
        """
        try:
            async with self._under_way.one_more():
                return await self._answered(ask, on_text)
        except (Broken, Over) as error:
            raise EngineTrouble(f"the engine failed: {error}") from error
        except LineTooLong as error:
            raise EngineTrouble("the engine sent a line that is too long") from error
        except Garbled as error:
            whole = not ask.body.get("stream")
            raise EngineTrouble(f"the engine's answer cannot be used: {error}", answered=whole) from error
        except Reported as error:
            broken = EngineTrouble("the engine broke its answer off with an error")
            raise own_doing(error.said, ask=ask) or broken from error

    def close(self, why: str) -> None:
        """What is under way ends with EngineTrouble, and so does what comes after."""
        self._under_way.end(why)

    async def _answered(self, ask: Ask, on_text: OnText | None) -> Reply:
        url, body = self._url + ask.path, encoded(ask)
        async with self._connections.post(url, body, headers=self._headers, heard=self._heard) as exchange:
            if exchange.status == 200 and ask.body.get("stream"):
                return await _streamed(exchange, on_text)
            said = await _whole(exchange)
        if exchange.status != 200:
            raise _error(exchange, said, ask)
        return await _read(said, texts=len(ask.body["input"]) if ask.endpoint == "embedding" else 0)


async def _whole(exchange: Exchange) -> bytes:
    pieces = []
    while piece := await exchange.more():
        pieces.append(piece)
    return b"".join(pieces)


async def _streamed(exchange: Exchange, on_text: OnText | None) -> Reply:
    if not exchange.streams:
        # a server that does not stream answers whole
        reply = await _read(await _whole(exchange), texts=0)
        if on_text is not None and reply.text:
            on_text(reply.text)
        return reply
    events, transcript = Events(), Transcript()
    while not events.done and (piece := await exchange.more()):
        for payload in events.feed(piece):
            text = transcript.hear(_json(payload))
            if text and on_text is not None:
                on_text(text)
    reply = transcript.reply()
    await _finish(exchange)
    return reply


async def _finish(exchange: Exchange) -> None:
    """Read the end of the body, so that the connection can be used again."""
    with suppress(TimeoutError, Broken):
        async with asyncio.timeout(END_S):
            while await exchange.more():
                pass


async def _read(body: bytes, *, texts: int) -> Reply:
    if len(body) <= LARGE_BYTES:
        return read_reply(_json(body), texts=texts)
    return await asyncio.to_thread(_read_large, body, texts)


def _read_large(body: bytes, texts: int) -> Reply:
    """On a thread. The parser keeps the interpreter's lock while it runs in C; a hook that is called for each object
    lets the loop go on in between: 14 ms at a time instead of 90 for 100 vectors of 4,096 (measured)."""
    return read_reply(_json(body, object_hook=_same), texts=texts)


def _json(text: bytes, *, object_hook: Callable[[Any], Any] | None = None) -> object:
    try:
        return json.loads(text, object_hook=object_hook)
    except (ValueError, RecursionError) as error:
        raise Garbled("it is no JSON") from error


def _same(value: dict[str, Any]) -> dict[str, Any]:
    return value


def _error(exchange: Exchange, body: bytes, ask: Ask) -> ViiworkError | EngineTrouble:
    status = exchange.status
    if status in REFUSED:
        return refusal(status, body, ask=ask)
    if status in KEY_WRONG:
        return key_wrong(status)
    if status in NO_ROOM:
        return no_room(status, retry_after=exchange.retry_after)
    trouble = EngineTrouble(f"the engine answered with HTTP {status}", answered=status != FELL_APART)
    return own_doing(body, ask=ask) or trouble
