"""`…/events`: a job or an analysis as it changes, as Server-Sent Events.

FastAPI writes the events, the headers, and a comment every 15 s while nothing happens.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Generic, TypeVar

from fastapi import APIRouter, Depends, Request
from fastapi.sse import EventSourceResponse, ServerSentEvent

from viiwork.api import analyses, jobs
from viiwork.errors import Gone, NotFound, StoreUnavailable
from viiwork.jobs import TERMINAL, BatchStatus, Status
from viiwork.store import Store
from viiwork.store.watch import Watch
from viiwork.wire import public

RETRY_MS = 2000
"""How long a browser waits before it connects again."""
END = "end"

router = APIRouter()
S = TypeVar("S", Status, BatchStatus)


@dataclass(frozen=True, slots=True)
class Followed(Generic[S]):
    """A record as it was first seen, how to look again, and when."""

    first: S
    look: Callable[[], Awaitable[S]]
    changes: AsyncIterator[None]


async def followed_job(request: Request, job_id: str) -> AsyncIterator[Followed[Status]]:
    """Listens for as long as the response lasts. Raises NotFound, Gone or Busy before its first byte."""
    store: Store = request.app.state.intake.store
    watch: Watch = request.app.state.watch
    look = partial(store.job, jobs.checked(job_id))
    first = await look()
    async with watch.listen(job_id) as changes:
        yield Followed(first, look, changes)


async def followed_analysis(request: Request, analysis_id: str) -> AsyncIterator[Followed[BatchStatus]]:
    """The same for an analysis."""
    store: Store = request.app.state.intake.store
    watch: Watch = request.app.state.watch
    look = partial(store.batch, analyses.checked(analysis_id))
    first = await look()
    async with watch.listen(analysis_id) as changes:
        yield Followed(first, look, changes)


@router.get("/v1/jobs/{job_id}/events", response_class=EventSourceResponse, tags=["jobs"])
async def job_events(followed: Annotated[Followed[Status], Depends(followed_job)]) -> AsyncIterator[ServerSentEvent]:
    """`state` at once and at every change, with what `GET /v1/jobs/{id}` answers; then `end`."""
    async for status in statuses(followed):
        yield event("state", status, id=f"{status.attempt}.{status.state.value}")
        if status.state in TERMINAL:
            yield last_event(status)
            return


@router.get("/v1/analyses/{analysis_id}/events", response_class=EventSourceResponse, tags=["analyses"])
async def analysis_events(
    followed: Annotated[Followed[BatchStatus], Depends(followed_analysis)],
) -> AsyncIterator[ServerSentEvent]:
    """`progress` at once and at every change, with what `GET /v1/analyses/{id}` answers; then `end`."""
    async for status in statuses(followed):
        yield event("progress", status, id=str(status.counts.settled))
        if status.finished:
            yield last_event(status)
            return


async def statuses(followed: Followed[S]) -> AsyncIterator[S]:
    """The record as it was, and then as it is whenever that is something else; ends when it is no longer kept.

    Redis may be away for a while: a browser that is answered 503 when it connects again would give up for good.
    """
    shown = followed.first
    yield shown
    async for _ in followed.changes:
        try:
            status = await followed.look()
        except StoreUnavailable:
            continue
        except (NotFound, Gone):
            return
        if status != shown:
            shown = status
            yield shown


def event(name: str, status: Status | BatchStatus, *, id: str) -> ServerSentEvent:  # noqa: A002 - the format's own term
    """A record as an event. On connecting again the state is sent again, so the id needs to lead nowhere."""
    return ServerSentEvent(event=name, data=public(status), id=id, retry=RETRY_MS)


def last_event(status: Status | BatchStatus) -> ServerSentEvent:
    """Tells a client to close: a browser would connect again."""
    return ServerSentEvent(event=END, data={"id": status.id, "state": status.state.value}, id=END)
