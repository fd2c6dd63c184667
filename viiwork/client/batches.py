"""One analysis (or batch of jobs) by its id, as steps: how it stands, its rows, and what people do to it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

from viiwork.client.exchange import Exchange
from viiwork.client.keys import safe
from viiwork.client.steps import Pause, Steps
from viiwork.client.streams import Lines
from viiwork.client.wired import Changes
from viiwork.errors import Unavailable
from viiwork.jobs import BatchStatus, Row
from viiwork.receipts import Receipt

LOOK_EVERY_S = (0.05, 1.0)
"""The first pause between two looks, and the longest that it grows to."""
OnProgress = Callable[[BatchStatus], None]
"""Hears how far it is, at every look."""


class Batch:
    """What can be asked of it. Raises NotFound at once for what is no id."""

    def __init__(self, wire: Exchange, batch_id: str) -> None:
        self._wire = wire
        self._path = f"/v1/analyses/{safe(batch_id)}"

    def look(self) -> Steps[BatchStatus]:
        """How it stands."""
        return (yield from self._wire.ask(BatchStatus, "GET", self._path))

    def act(self, action: str, **body: str) -> Steps[BatchStatus]:
        """Cancel, pause, resume or prioritise it; asking twice is asking once."""
        given: dict[str, Any] = {"json": body} if body else {}
        return (yield from self._wire.ask(BatchStatus, "POST", f"{self._path}/{action}", **given))

    def delete(self) -> Steps[Receipt]:
        """Delete it and all that is kept of it."""
        return (yield from self._wire.ask(Receipt, "DELETE", self._path))

    def changes(self) -> Changes[BatchStatus]:
        """Its status at once and whenever it changes."""
        return Changes(self._wire, BatchStatus, f"{self._path}/events")

    def lines(self, *, after: int = 0, limit: int | None = None) -> Lines:
        """The rows that there are, as JSON lines."""
        return Lines(self._wire, f"{self._path}/results", after=after, limit=limit)

    def row(self, line: bytes) -> Row:
        """A line as a row."""
        return self._wire.parsed(Row, line)

    def wait(self, *, timeout_s: float | None, on_progress: OnProgress = lambda _status: None) -> Steps[BatchStatus]:
        """Its status at its end, or after `timeout_s`. A service that answered once is waited for when it is away."""
        until_s = math.inf if timeout_s is None else time.monotonic() + timeout_s
        away, pause_s = self._wire.away(), LOOK_EVERY_S[0]
        while True:
            try:
                status = yield from self.look()
            except Unavailable as error:
                if time.monotonic() >= until_s or not away.bears(error):
                    raise
            else:
                away.met()
                on_progress(status)
                if status.finished or time.monotonic() >= until_s:
                    return status
            yield Pause(max(0.0, min(pause_s, until_s - time.monotonic())))
            pause_s = min(pause_s * 1.3, LOOK_EVERY_S[1])


class RowsAsTheyCome:
    """Each row once it is there, up to the last: the stream of events says when there are more."""

    def __init__(self, batch: Batch, *, after: int) -> None:
        self._batch, self._after = batch, after
        self._settled = 0
        self._changes = batch.changes()
        self._lines: Lines | None = None
        self.status: BatchStatus | None = None
        """As it was told last."""

    def next(self) -> Steps[Row | None]:
        """The next row; None after the last."""
        while True:
            if self._lines is not None and (line := (yield from self._lines.next())) is not None:
                self._after = self._lines.after
                return self._batch.row(line)
            if self.status is not None and self.status.finished and self._lines is not None:
                return None
            self._lines = None
            if (status := (yield from self._changes.next())) is None:
                return None
            self.status = status
            if status.counts.settled != self._settled or status.finished:
                self._lines = self._batch.lines(after=self._after)
            self._settled = status.counts.settled
