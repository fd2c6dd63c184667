"""Answers that come bit by bit, as steps: lines that are taken up where they broke off, and events."""

from __future__ import annotations

from collections import deque
from typing import Any

import httpx

from viiwork.client.exchange import CONNECT_TIMEOUT_S, Exchange
from viiwork.client.steps import Pause, Steps, opened, read
from viiwork.connection import LineSplitter, lost, pause_s
from viiwork.errors import Unavailable
from viiwork.eventstream import Event, EventReader
from viiwork.jobs import behind

EVENTS_TIMEOUT = httpx.Timeout(45.0, connect=CONNECT_TIMEOUT_S)
"""A stream of events is never silent for longer than 15 s while its service lives."""


class Incoming:
    """The lines of one response, as they come."""

    def __init__(self, response: httpx.Response) -> None:
        self._response = response
        self._splitter = LineSplitter()
        self._ended = False

    def more(self) -> Steps[list[bytes]]:
        """The next lines; none at the end."""
        while not self._ended:
            chunk = yield from read(self._response)
            self._ended = not chunk
            if lines := self._splitter.feed(chunk) if chunk else self._splitter.end():
                return lines
        return []


class Broken:
    """What to do when a stream has broken off: pause and try again, or raise."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._away = exchange.away()
        self._failures = 0

    def met(self) -> None:
        """Something has come."""
        self._failures = 0
        self._away.met()

    def pause(self, error: httpx.TransportError | Unavailable) -> Steps[None]:
        """Raises Unavailable when the stream is lost for good."""
        if self._failures >= self._exchange.retries and not self._away.bears(error):
            if isinstance(error, httpx.TransportError):
                raise lost(error, self._exchange.url) from error
            raise error
        yield Pause(pause_s(self._failures))
        self._failures += 1


class Lines:
    """A stream's rows from position `after` on, a line each; where it breaks it goes on by itself."""

    def __init__(self, exchange: Exchange, path: str, *, after: int = 0, limit: int | None = None) -> None:
        self._exchange, self._path = exchange, path
        self.after, self._left = after, limit
        self._incoming: Incoming | None = None
        self._ready: deque[bytes] = deque()
        self._broken = Broken(exchange)

    def next(self) -> Steps[bytes | None]:
        """The next line; None after the last. Raises Unavailable when the connection is lost for good."""
        if self._left == 0:
            return None
        while not self._ready:
            try:
                lines = yield from self._more()
            except (httpx.TransportError, Unavailable) as error:
                self._incoming = None
                yield from self._broken.pause(error)
                continue
            if not lines:
                return None
            self._ready.extend(lines)
            self._broken.met()
        line = self._ready.popleft()
        self.after = behind(line, after=self.after)
        self._left = None if self._left is None else self._left - 1
        return line

    def _more(self) -> Steps[list[bytes]]:
        if self._incoming is None:
            params = {"after": self.after} | ({} if self._left is None else {"limit": self._left})
            self._incoming = yield from incoming(self._exchange, self._path, params=params)
        return (yield from self._incoming.more())


class Events:
    """A stream's events; when it breaks off or ends it is asked for again, so the caller says which is the last.

    The service is told the last event that had come, so that it can say what is void.
    """

    def __init__(self, exchange: Exchange, path: str) -> None:
        self._exchange, self._path = exchange, path
        self._incoming: Incoming | None = None
        self._reader = EventReader()
        self._ready: deque[Event] = deque()
        self._broken = Broken(exchange)
        self._last = ""

    def next(self) -> Steps[Event]:
        """The next event. Raises Unavailable when the connection is lost for good."""
        while not self._ready:
            ended: httpx.TransportError | Unavailable = httpx.ReadError("The stream has ended.")
            try:
                if (yield from self._more()):
                    continue
            except (httpx.TransportError, Unavailable) as error:
                ended = error
            self._incoming = None
            yield from self._broken.pause(ended)
        event = self._ready.popleft()
        self._last = event.id or self._last
        self._broken.met()
        return event

    def _more(self) -> Steps[bool]:
        """Whether the stream goes on."""
        if self._incoming is None:
            self._reader = EventReader()
            headers = {"last-event-id": self._last} if self._last else {}
            self._incoming = yield from incoming(self._exchange, self._path, timeout=EVENTS_TIMEOUT, headers=headers)
        lines = yield from self._incoming.more()
        self._ready.extend(event for line in lines if (event := self._reader.hear(line)) is not None)
        return bool(lines)


def incoming(exchange: Exchange, path: str, **request: Any) -> Steps[Incoming]:
    """A stream that was opened. Raises the error that its answer stands for."""
    response = yield from opened(path, **request)
    exchange.check(response)
    return Incoming(response)
