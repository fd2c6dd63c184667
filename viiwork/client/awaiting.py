"""Steps done in an event loop of asyncio, which goes on meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from types import TracebackType
from typing import Any, TypeVar

import httpx

from viiwork.client.steps import Aside, Body, Done, Effect, Emit, Flow, Open, Pause, Read, Run, Send, Steps

T = TypeVar("T")


class AwaitingWire:
    """Does steps with an `httpx.AsyncClient`."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http = http

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def perform(self, steps: Steps[T]) -> T:
        """Do them all, and answer what they come to."""
        run = Run(steps)
        async with _Streams(self._http) as streams:
            while not isinstance(step := run.step(), Done):
                try:
                    run.said = await streams.do(step)
                except BaseException as fault:  # noqa: BLE001 - the steps decide what becomes of it
                    run.fault = fault
            answer: T = step.value
        return answer

    async def stream(self, flow: Flow[T]) -> AsyncIterator[T]:
        """What they emit, done no faster than it is taken."""
        run = Run(flow)
        async with _Streams(self._http) as streams:
            while not isinstance(step := run.step(), Done):
                try:
                    if isinstance(step, Emit):
                        yield step.value
                    else:
                        run.said = await streams.do(step)
                except BaseException as fault:  # noqa: BLE001 - as above
                    run.fault = fault


class _Streams:
    """What one run has open; all of it is closed with the run."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http = http
        self._open: dict[httpx.Response, AsyncIterator[bytes]] = {}

    async def __aenter__(self) -> _Streams:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for response in self._open:
            await response.aclose()

    async def do(self, step: Effect) -> Any:
        match step:
            case Send():
                body = None if step.body is None else _chunks(step.body)
                return await self._http.request(step.method, step.path, content=body, **step.request)
            case Open():
                return await self._opened(step)
            case Read():
                return await self._read(step.response)
            case Pause():
                return await asyncio.sleep(step.seconds)
            case Aside():
                return await asyncio.to_thread(step.work)

    async def _opened(self, step: Open) -> httpx.Response:
        response = await self._http.send(self._http.build_request("GET", step.path, **step.request), stream=True)
        self._open[response] = response.aiter_bytes()
        if response.is_error:
            await response.aread()
        return response

    async def _read(self, response: httpx.Response) -> bytes:
        chunk = await anext(self._open[response], b"")
        if not chunk:
            del self._open[response]  # closed by being read to its end
        return chunk


async def _chunks(body: Body) -> AsyncIterator[bytes]:
    """A body's bytes, read on a thread: a slow disk must not hold up the loop."""
    pieces = body()
    while chunk := await asyncio.to_thread(next, pieces, b""):
        yield chunk
