"""What a client does, as steps that name each effect and leave doing it to a driver: no I/O here.

A method of the client is a generator. It yields effects, is sent what came of each or has the error thrown in, and
returns its answer. One driver does the effects with `httpx.Client` (`blocking.py`), one with `httpx.AsyncClient`
(`awaiting.py`): so there is one client, and not two that drift apart.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import httpx

T = TypeVar("T")
LEFT = (GeneratorExit, KeyboardInterrupt, asyncio.CancelledError)
"""How it shows that nobody waits any more for what steps come to."""
Body = Callable[[], Iterator[bytes]]
"""Makes a fresh stream of a request's bytes for each try."""


@dataclass(frozen=True, slots=True)
class Send:
    """One request; what comes of it is its response, read to the end."""

    method: str
    path: str
    body: Body | None
    request: Mapping[str, Any]
    """The other arguments of `httpx.Client.request`."""


@dataclass(frozen=True, slots=True)
class Open:
    """A GET whose answer is read bit by bit; what comes of it is the response, an error's read to the end."""

    path: str
    request: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Read:
    """The next bytes of what was opened; none at its end. The driver closes what is left open."""

    response: httpx.Response


@dataclass(frozen=True, slots=True)
class Pause:
    """Let time pass."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Aside:
    """Work on this computer that takes its time, such as reading a folder; what comes of it is its answer."""

    work: Callable[[], Any]


@dataclass(frozen=True, slots=True)
class Emit(Generic[T]):
    """One of the things that somebody iterates over."""

    value: T


@dataclass(frozen=True, slots=True)
class Done(Generic[T]):
    """The end of the steps."""

    value: T


Effect = Send | Open | Read | Pause | Aside
Steps = Generator[Effect, Any, T]
"""Steps to one answer."""
Flow = Generator[Effect | Emit[T], Any, None]
"""Steps to any number of things, one after the other."""


class Run(Generic[T]):
    """Steps on their way. A driver asks for each `step`, does it, and puts down what came of it: `said` or `fault`.

    Whatever ends the driver's own work is a fault too (a cancelled task, an iterator that nobody reads on), so that
    steps may put things in order before they pass it on.
    """

    def __init__(self, steps: Generator[Any, Any, T]) -> None:
        self._steps = steps
        self.said: Any = None
        self.fault: BaseException | None = None

    def step(self) -> Any:
        """What to do next: an effect, an `Emit`, or `Done`. Raises what the steps raise."""
        said, fault = self.said, self.fault
        self.said = self.fault = None
        try:
            return self._steps.send(said) if fault is None else self._steps.throw(fault)
        except StopIteration as end:
            return Done(end.value)


def sent(method: str, path: str, *, body: Body | None = None, **request: Any) -> Steps[httpx.Response]:
    """The response to one request."""
    response: httpx.Response = yield Send(method, path, body, request)
    return response


def opened(path: str, **request: Any) -> Steps[httpx.Response]:
    """A response that is read bit by bit."""
    response: httpx.Response = yield Open(path, request)
    return response


def read(response: httpx.Response) -> Steps[bytes]:
    """Its next bytes."""
    chunk: bytes = yield Read(response)
    return chunk


def aside(work: Callable[[], T]) -> Steps[T]:
    """The answer of `work`, which an event loop is not kept waiting for."""
    answer: T = yield Aside(work)
    return answer
