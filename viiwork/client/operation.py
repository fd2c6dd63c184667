"""Methods written once as steps: on a `Client` they answer, on an `AsyncClient` they are awaited.

Type checkers and editors see the same arguments on both.
"""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar, overload

from viiwork.client.awaiting import AwaitingWire
from viiwork.client.blocking import BlockingWire
from viiwork.client.exchange import Exchange
from viiwork.client.steps import Flow, Steps

P = ParamSpec("P")
T = TypeVar("T")


class Blocking:
    """Whose methods answer."""

    _wire: Exchange
    _driver: BlockingWire


class Awaiting:
    """Whose methods are awaited."""

    _wire: Exchange
    _driver: AwaitingWire


class operation(Generic[P, T]):  # noqa: N801 - it stands where decorators stand
    """A method that has one answer."""

    def __init__(self, steps: Callable[Concatenate[Any, P], Steps[T]]) -> None:
        self._steps = steps

    @overload
    def __get__(self, on: Blocking, owner: type) -> Callable[P, T]: ...
    @overload
    def __get__(self, on: Awaiting, owner: type) -> Callable[P, Coroutine[Any, Any, T]]: ...
    @overload
    def __get__(self, on: None, owner: type) -> Callable[..., Steps[T]]: ...
    def __get__(self, on: Blocking | Awaiting | None, owner: type) -> Any:
        if on is None:
            return self._steps  # for `help()`

        @functools.wraps(self._steps)
        def call(*args: P.args, **kwargs: P.kwargs) -> Any:
            return on._driver.perform(self._steps(on, *args, **kwargs))

        return call


class streaming(Generic[P, T]):  # noqa: N801 - as above
    """A method that is iterated over."""

    def __init__(self, flow: Callable[Concatenate[Any, P], Flow[T]]) -> None:
        self._flow = flow

    @overload
    def __get__(self, on: Blocking, owner: type) -> Callable[P, Iterator[T]]: ...
    @overload
    def __get__(self, on: Awaiting, owner: type) -> Callable[P, AsyncIterator[T]]: ...
    @overload
    def __get__(self, on: None, owner: type) -> Callable[..., Flow[T]]: ...
    def __get__(self, on: Blocking | Awaiting | None, owner: type) -> Any:
        if on is None:
            return self._flow  # for `help()`

        @functools.wraps(self._flow)
        def call(*args: P.args, **kwargs: P.kwargs) -> Any:
            return on._driver.stream(self._flow(on, *args, **kwargs))

        return call
