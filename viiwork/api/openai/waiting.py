"""Waiting for the answers to a request, for as long as whoever asked is there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, Protocol, TypeVar

from starlette.requests import Request

from viiwork.errors import Gone, StoreUnavailable, Unavailable, ViiworkError
from viiwork.jobs import TERMINAL
from viiwork.store import Store
from viiwork.store.ears import Vigil
from viiwork.store.express import Ended, ends
from viiwork.store.gathering import Gathering
from viiwork.store.watch import LOOK_AGAIN_S, Watch

T = TypeVar("T")


class HungUp(Exception):
    """Raised when whoever asked is not there any more."""


class Closable(Protocol):
    """What waits, and can be told that nobody is behind it any more."""

    closed: bool

    def close(self) -> None: ...


async def all_ended(
    store: Store, watch: Watch, asker: Gathering, job_ids: Sequence[str], vigil: Vigil, *, at_once: bool
) -> list[Ended]:
    """How the jobs ended, in their order; `at_once` looks before it waits, for they may have ended before.

    Raises HungUp, Gone, and Unavailable when this process is shutting down.
    """
    while True:
        if not at_once:
            await vigil.wait(LOOK_AGAIN_S)
        at_once = False
        check_here(watch, vigil)
        try:
            found = await ends(store, asker, job_ids)
        except StoreUnavailable:
            await asyncio.sleep(min(1.0, LOOK_AGAIN_S))
            continue
        if any(end.state is None for end in found):
            raise Gone("This request is no longer kept.")
        if all(end.state in TERMINAL for end in found):
            return found


def check_here(watch: Watch, waiting: Closable) -> None:
    """Raises HungUp when nobody waits any more, and Unavailable when this process is shutting down."""
    if waiting.closed:
        raise HungUp
    if watch.closed:
        raise Unavailable("The service is shutting down.", hint="Send the request again.", code="closing")


@asynccontextmanager
async def while_here(request: Request, waiting: Closable, store: Store, job_ids: Sequence[str]) -> AsyncIterator[None]:
    """`waiting` is closed when the caller hangs up. Unless all went well, the jobs are cancelled: their slots are free.

    The request's body must have been read.
    """
    gone = asyncio.create_task(_hung_up(request))
    gone.add_done_callback(lambda _: waiting.close())
    try:
        yield
    except BaseException:
        await asyncio.shield(_cancel(store, job_ids))
        raise
    finally:
        gone.cancel()


async def unless_gone(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """What comes of this work, which ends when the caller hangs up. Raises HungUp. The request's body must have been
    read."""
    working, gone = asyncio.create_task(work), asyncio.create_task(_hung_up(request))
    try:
        await asyncio.wait((working, gone), return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise HungUp
        return working.result()
    finally:
        for task in (working, gone):
            task.cancel()
        await asyncio.wait((working, gone))


async def _hung_up(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _cancel(store: Store, job_ids: Sequence[str]) -> None:
    for job_id in job_ids:
        with suppress(ViiworkError):
            await store.cancel(job_id)
