"""Steps done one after the other, while the caller waits."""

from __future__ import annotations

import time
from collections.abc import Iterator
from types import TracebackType
from typing import Any, TypeVar

import httpx

from viiwork.client.steps import Aside, Done, Effect, Emit, Flow, Open, Pause, Read, Run, Send, Steps

T = TypeVar("T")


class BlockingWire:
    """Does steps with an `httpx.Client`."""

    def __init__(self, http: httpx.Client) -> None:
        self._http = http

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def perform(self, steps: Steps[T]) -> T:
        """Do them all, and answer what they come to."""
        run = Run(steps)
        with _Streams(self._http) as streams:
            while not isinstance(step := run.step(), Done):
                try:
                    run.said = streams.do(step)
                except BaseException as fault:  # noqa: BLE001 - the steps decide what becomes of it
                    run.fault = fault
            answer: T = step.value
        return answer

    def stream(self, flow: Flow[T]) -> Iterator[T]:
        """What they emit, done no faster than it is taken."""
        run = Run(flow)
        with _Streams(self._http) as streams:
            while not isinstance(step := run.step(), Done):
                try:
                    if isinstance(step, Emit):
                        yield step.value
                    else:
                        run.said = streams.do(step)
                except BaseException as fault:  # noqa: BLE001 - as above
                    run.fault = fault


class _Streams:
    """What one run has open; all of it is closed with the run."""

    def __init__(self, http: httpx.Client) -> None:
        self._http = http
        self._open: dict[httpx.Response, Iterator[bytes]] = {}

    def __enter__(self) -> _Streams:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for response in self._open:
            response.close()

    def do(self, step: Effect) -> Any:
        match step:
            case Send():
                body = None if step.body is None else step.body()
                return self._http.request(step.method, step.path, content=body, **step.request)
            case Open():
                return self._opened(step)
            case Read():
                return self._read(step.response)
            case Pause():
                return time.sleep(step.seconds)
            case Aside():
                return step.work()

    def _opened(self, step: Open) -> httpx.Response:
        response = self._http.send(self._http.build_request("GET", step.path, **step.request), stream=True)
        self._open[response] = response.iter_bytes()
        if response.is_error:
            response.read()
        return response

    def _read(self, response: httpx.Response) -> bytes:
        chunk = next(self._open[response], b"")
        if not chunk:
            del self._open[response]  # closed by being read to its end
        return chunk
