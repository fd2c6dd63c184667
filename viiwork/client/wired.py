"""What the parts of the client share: the exchange with one service, and what changes there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Generic, TypeVar

from viiwork.client.exchange import Exchange
from viiwork.client.keys import safe
from viiwork.client.steps import Emit, Flow, Steps
from viiwork.client.streams import Events
from viiwork.jobs import BatchStatus, Status
from viiwork.telling import Delta, Restart

TEXT_EVENTS: Mapping[str, type[Delta | Restart]] = {"delta": Delta, "restart": Restart}

S = TypeVar("S", Status, BatchStatus)


class Wired:
    """A part of the client, or a hold on something there."""

    _wire: Exchange


class Changes(Generic[S]):
    """A status at once and whenever it changes, up to its end; lost connections are taken up again."""

    def __init__(self, wire: Exchange, model: type[S], path: str) -> None:
        self._wire = wire
        self._model: type[S] = model
        self._events = Events(wire, path)
        self._shown: S | None = None

    def next(self) -> Steps[S | None]:
        """The next one; None after the last."""
        while (event := (yield from self._events.next())).name != "end":
            if event.name in TEXT_EVENTS:
                continue
            status = self._wire.parsed(self._model, event.data)
            if status != self._shown:  # it is sent again after a lost connection
                self._shown = status
                return status
        return None

    def all(self) -> Flow[S]:
        """One after the other."""
        while (status := (yield from self.next())) is not None:
            yield Emit(status)


class Spoken:
    """A job's status at once and whenever it changes, and its text as it is written, up to its end."""

    def __init__(self, wire: Exchange, job_id: str) -> None:
        self._wire = wire
        self._events = Events(wire, f"/v1/jobs/{safe(job_id)}/events")
        self._shown: Status | None = None

    def next(self) -> Steps[Status | Delta | Restart | None]:
        """The next one; None after the last."""
        while (event := (yield from self._events.next())).name != "end":
            if text := TEXT_EVENTS.get(event.name):
                return self._wire.parsed(text, event.data)
            if event.name != "state":
                continue
            status = self._wire.parsed(Status, event.data)
            if status != self._shown:
                self._shown = status
                return status
        return None
