"""HTTP/1.1 for a fake server: small, quick to start, and it notices at once when a client goes away."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

REASONS = {200: "OK", 400: "Bad Request", 401: "Unauthorized", 404: "Not Found", 422: "Unprocessable Entity"}


@dataclass(frozen=True, slots=True)
class Request:
    method: str
    path: str
    headers: dict[str, str] = field(repr=False)
    body: bytes = field(repr=False)

    def json(self) -> Any:
        return json.loads(self.body or b"{}")


class Reply:
    """The answer to one request, whole or in pieces."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._streams = False

    def send(self, status: int, body: object, *, kind: str = "application/json", **headers: str) -> None:
        """The whole answer: text as it is, anything else as JSON; `retry_after` and the like are headers."""
        data = body.encode() if isinstance(body, str) else json.dumps(body).encode()
        more = "".join(f"{name.replace('_', '-')}: {said}\r\n" for name, said in headers.items())
        self._head(status, kind, f"{more}content-length: {len(data)}")
        self._transport.write(data)

    def open(self, kind: str = "text/event-stream") -> None:
        """Begin an answer that comes in pieces."""
        self._streams = True
        self._head(200, kind, "transfer-encoding: chunked")

    def piece(self, text: str) -> None:
        data = text.encode()
        self._transport.write(b"%x\r\n%s\r\n" % (len(data), data))

    def event(self, data: object) -> None:
        """One server-sent event."""
        self.piece(f"data: {data if isinstance(data, str) else json.dumps(data)}\n\n")

    def close(self) -> None:
        self._transport.write(b"0\r\n\r\n")

    def cut(self) -> None:
        """Break off in the middle."""
        self._transport.abort()

    def _head(self, status: int, kind: str, length: str) -> None:
        said = f"HTTP/1.1 {status} {REASONS.get(status, 'Said')}\r\ncontent-type: {kind}\r\n{length}\r\n\r\n"
        self._transport.write(said.encode())


Handler = Callable[[Request, Reply], Awaitable[None]]


class Connection(asyncio.Protocol):
    """One client; its requests one after the other. When it goes away, what it asked for is cancelled."""

    def __init__(self, handler: Handler) -> None:
        self._handler = handler
        self._buffer = b""
        self._task: asyncio.Task[None] | None = None
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        self._next()

    def eof_received(self) -> bool:
        return False  # closes, as servers do: half-open connections are not kept

    def connection_lost(self, error: Exception | None) -> None:
        if self._task is not None:
            self._task.cancel()

    def _next(self) -> None:
        if self._task is None and (request := self._whole()) is not None:
            self._task = asyncio.create_task(self._answer(request))

    def _whole(self) -> Request | None:
        head, gap, rest = self._buffer.partition(b"\r\n\r\n")
        if not gap:
            return None
        first, *lines = head.decode("latin-1").split("\r\n")
        pairs = (line.partition(":") for line in lines)
        headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
        length = int(headers.get("content-length", 0))
        if len(rest) < length:
            return None
        self._buffer = rest[length:]
        method, target, _ = first.split(" ", 2)
        return Request(method, target.partition("?")[0], headers, rest[:length])

    async def _answer(self, request: Request) -> None:
        assert self._transport is not None
        with suppress(asyncio.CancelledError):
            await self._handler(request, Reply(self._transport))
        self._task = None
        self._next()
