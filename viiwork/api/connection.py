"""One HTTP connection with the bounds that uvicorn's own lacks.

uvicorn with httptools takes a head of any size, in any number of pieces and any time, waits without end for a body that
does not come and for a client that does not read, and keeps any number of connections. Its keep-alive time counts only
after a first answer.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from viiwork.api.problems import problem
from viiwork.api.stalls import Awaited, Stand

MAX_FIELDS = 100
MAX_PIPELINED = 16
SPARE = 64
"""Connections beyond the bound that still hear why they are refused."""
LOOKS = 4
"""A connection is looked at so often in the time that it may take."""
FAREWELL_S = 2.0
"""For so long what still comes in is dropped after a refusal: closing at once would reset it before it was read."""
MOVING_ON_S = 15.0
"""Between a client's last answer and the end of its connection to a process that makes room for another."""

SLOW_HEAD = "The request's head took too long; it may take {:g} s (api.slow_s)."
SLOW_BODY = "The request's body came too slowly, or not at all; it must go on within {:g} s (api.slow_s)."
CROWDED = "Too many connections; try again in a moment."
MALFORMED = "This is no valid HTTP/1.1 request."


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a connection may take."""

    connections: int
    head_bytes: int
    slow_s: float


class Connection(HttpToolsProtocol):
    """uvicorn's connection, bounded."""

    def __init__(self, *arguments: Any, bounds: Bounds, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._bounds = bounds
        self._stand = Stand(Awaited.HEAD, 0, self.loop.time())
        self._timer: asyncio.TimerHandle | None = None
        self._unframed_bytes = 0
        """Since the last piece that has meaning: of a head, of a chunk's frame, of what follows the last chunk."""
        self._body_bytes = 0
        self._body_open = False
        self._refusal: _Refused | None = None
        self._dismissed = False
        self._last = False
        self._rests_since_s = self.loop.time()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Make room for it, or say that there is none."""
        super().connection_made(transport)
        over = len(self.connections) - self._bounds.connections
        if over > 0 and not _give_way(connection for connection in self.connections if connection is not self):
            self._refusal = _Refused(503, CROWDED, code="crowded")
            if over > SPARE:
                transport.abort()
                return
        self._look_later()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nobody is there to be looked at any more."""
        if self._timer is not None:
            self._timer.cancel()
        self._unset_keepalive_if_required()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """What uvicorn does, without its log lines, which anybody could write a million of."""
        if self.parser is None or self.transport.is_closing() or self._dismissed:
            return
        self._unset_keepalive_if_required()
        self._unframed_bytes += len(data)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            return  # it is answered as if it had not asked
        except httptools.HttpParserError:
            self._refuse(self._refusal or _Refused(400, MALFORMED, code="invalid_request"))
            return
        if self._unframed_bytes > self._bounds.head_bytes:
            self._refuse(self._too_large())

    def on_message_begin(self) -> None:
        """A next request, which may have to wait for the answers to those before it."""
        if len(self.pipeline) >= MAX_PIPELINED:
            self._refusal = _Refused(400, f"No more than {MAX_PIPELINED} requests may wait.", code="invalid_request")
            raise ValueError
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        """One of the head's fields; those that follow a body are dropped."""
        if not self._body_open:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Once a head is whole its request runs."""
        self._unframed_bytes = 0
        size_bytes = len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)
        if size_bytes > self._bounds.head_bytes or len(self.headers) > MAX_FIELDS:
            self._refusal = self._too_large()
        if self._refusal is not None:
            raise ValueError  # the parser gives it up, and so do we
        self._body_open = True
        super().on_headers_complete()
        if self._last:
            self.cycle.keep_alive = False

    def on_body(self, body: bytes) -> None:
        """A piece of a body."""
        self._unframed_bytes = 0
        self._body_bytes += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The end of a request."""
        self._unframed_bytes = 0
        self._body_open = False
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """The end of an answer."""
        self._rests_since_s = self.loop.time()
        super().on_response_complete()

    def move_on(self) -> None:
        """Let the client finish here and take its next request to another process.

        A connection that is closed while its client believes it open costs that client a request. So one that rests
        stays for as long as clients keep theirs, and its next answer says that it is the last.
        """
        self._last = True
        if self._under_way:
            self.cycle.keep_alive = False
        elif self.timeout_keep_alive_task is not None:
            self._unset_keepalive_if_required()
            self.timeout_keep_alive_task = self.loop.call_later(MOVING_ON_S, self.timeout_keep_alive_handler)

    @property
    def idle_since_s(self) -> float | None:
        """Since when no request runs here; None while one does."""
        return None if self._under_way or self.transport.is_closing() else self._rests_since_s

    @property
    def _under_way(self) -> bool:
        return self._body_open or (self.cycle is not None and not self.cycle.response_complete)

    def _look_later(self) -> None:
        self._timer = self.loop.call_later(self._bounds.slow_s / LOOKS, self._look)

    def _look(self) -> None:
        now_s = self.loop.time()
        awaited, moved_bytes = self._awaited()
        self._stand = self._stand.later(awaited, moved_bytes=moved_bytes, now_s=now_s)
        if not self._stand.stalled(now_s=now_s, slow_s=self._bounds.slow_s):
            self._look_later()
        elif awaited is Awaited.READER or self.transport.is_closing():
            self.transport.abort()
        elif awaited is Awaited.HEAD and not self._unframed_bytes:
            self.transport.close()  # it never said anything
        else:
            words = SLOW_HEAD if awaited is Awaited.HEAD else SLOW_BODY
            self._refuse(_Refused(408, words.format(self._bounds.slow_s), code="too_slow"))

    def _awaited(self) -> tuple[Awaited, int]:
        unread_bytes = self.transport.get_write_buffer_size()
        if unread_bytes:
            return Awaited.READER, unread_bytes
        if self._body_open:
            return (Awaited.NOTHING if self.flow.read_paused else Awaited.BODY), self._body_bytes
        resting = self._under_way or self.timeout_keep_alive_task is not None
        return (Awaited.NOTHING if resting else Awaited.HEAD), 0

    def _too_large(self) -> _Refused:
        limit = f"{self._bounds.head_bytes} bytes and {MAX_FIELDS} fields"
        message = f"The request's head is over the limit of {limit} (api.max_header_bytes)."
        return _Refused(431, message, code="head_too_large")

    def _refuse(self, refusal: _Refused) -> None:
        """Say why, and hear no more. Where an answer is under way already, breaking it off is all that can be said."""
        if self.cycle is not None and self.cycle.response_started and not self.cycle.response_complete:
            self.transport.abort()
            return
        if self._under_way:
            self.cycle.disconnected = True  # whoever waits for the body hears that there will be no more
            self.cycle.message_event.set()
        self._dismissed = True
        self.pipeline.clear()
        self.flow.resume_reading()
        self.transport.write(refusal.raw())
        self.transport.write_eof()
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self.loop.call_later(FAREWELL_S, self.transport.abort)


@dataclass(frozen=True, slots=True)
class _Refused:
    status: int
    message: str
    code: str

    def raw(self) -> bytes:
        """The whole answer; nothing of the application had a part in it."""
        answer = problem(self.status, self.message, code=self.code)
        answer.headers["connection"] = "close"
        answer.headers["x-request-id"] = f"req_{secrets.token_hex(12)}"
        if self.status == 503:
            answer.headers["retry-after"] = "1"
        fields = b"".join(name + b": " + value + b"\r\n" for name, value in answer.raw_headers)
        return STATUS_LINE[self.status] + fields + b"\r\n" + bytes(answer.body)


def _give_way(others: Iterable[Any]) -> bool:
    """Close the connection that has rested longest, if one rests: who opens a thousand closes his own."""
    resting = [other for other in others if other.idle_since_s is not None]
    if not resting:
        return False
    min(resting, key=lambda other: other.idle_since_s).transport.close()
    return True
