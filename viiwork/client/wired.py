"""What the parts of the client share: the connection to one service, and its streams of events."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing
from typing import TypeVar

from viiwork.connection import Connection
from viiwork.jobs import BatchStatus, Status
from viiwork.telling import Delta, Restart

TEXT_EVENTS: Mapping[str, type[Delta | Restart]] = {"delta": Delta, "restart": Restart}

S = TypeVar("S", Status, BatchStatus)


class Wired:
    """A part of the client; the client opens and closes its connection."""

    _wire: Connection

    def _events(self, model: type[S], path: str) -> Iterator[S]:
        shown: S | None = None
        with closing(self._wire.events(path)) as events:
            for event in events:
                if event.name == "end":
                    return
                if event.name in TEXT_EVENTS:
                    continue
                status = self._wire.parsed(model, event.data)
                if status != shown:  # it is sent again after a lost connection
                    shown = status
                    yield status
