"""`…/events`: a job or an analysis as it changes, as Server-Sent Events.

FastAPI writes the events, the headers, and a comment every 15 s while nothing happens. A job that was asked to be heard
while its answer is written (`stream`) also tells its text; what a listener is told of that, `telling.py` decides.
"""

from __future__ import annotations

import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Generic, TypeVar

from fastapi import APIRouter, Depends, Header, Request
from fastapi.sse import EventSourceResponse, ServerSentEvent

from viiwork.api import analyses, jobs
from viiwork.api.intake import Intake
from viiwork.api.priced import priced
from viiwork.errors import Gone, NotFound, StoreUnavailable
from viiwork.jobs import TERMINAL, BatchStatus, Status
from viiwork.store import Store
from viiwork.store.ears import Words
from viiwork.store.gathering import Gathering
from viiwork.store.said import Heard, heard, listen, overheard
from viiwork.store.watch import Watch
from viiwork.telling import Telling, Told
from viiwork.wire import public

RETRY_MS = 2000
"""How long a browser waits before it connects again."""
END = "end"
LISTEN_EVERY_S = 3.0
"""How often a stream says that it is still there."""
PAUSE_S = 0.0
"""Between two looks at a job that is heard: its worker speaks 50 times a second at most, so none is needed."""

router = APIRouter()
S = TypeVar("S", Status, BatchStatus)


@dataclass(frozen=True, slots=True)
class Followed(Generic[S]):
    """A record as it was first seen, how to look again, and when."""

    first: S
    look: Callable[[], Awaitable[S]]
    changes: AsyncIterator[Words]


class Ear:
    """One listener to one job: it keeps the worker speaking, and knows up to where it has heard."""

    def __init__(self, store: Store, job_id: str, asker: Gathering) -> None:
        self._store, self._job_id, self._asker = store, job_id, asker
        self._after, self._listened_s = "", -math.inf

    async def hear(self, words: Words = ()) -> Heard:
        """What is new: out of `words` if they are all that is, else by asking. Raises StoreUnavailable."""
        now_s = time.monotonic()
        if now_s < self._listened_s + LISTEN_EVERY_S and (told := overheard(words, after=self._after)):
            self._after = told.said[-1].id
            return told
        if now_s >= self._listened_s + LISTEN_EVERY_S:
            with suppress(StoreUnavailable):  # a full server takes no note of it: the text comes with the answer then
                await listen(self._store, self._job_id)
            self._listened_s = now_s
        new = await heard(self._store, self._job_id, after=self._after, asker=self._asker)
        self._after = new.said[-1].id if new.said else self._after
        return new


@dataclass(frozen=True, slots=True)
class FollowedJob(Followed[Status]):
    """A job; `anew` says that its listener was here before and may hold text from then."""

    ear: Ear
    anew: bool


async def followed_job(
    request: Request, job_id: str, last_event_id: Annotated[str, Header()] = ""
) -> AsyncIterator[FollowedJob]:
    """Listens for as long as the response lasts. Raises NotFound, Gone or Busy before its first byte."""
    desk: Intake = request.app.state.intake
    watch: Watch = request.app.state.watch
    look = partial(_priced, desk, partial(desk.store.job, jobs.checked(job_id)))
    first = await look()
    async with watch.listen(job_id, pause_s=PAUSE_S) as changes:
        ear = Ear(desk.store, job_id, request.app.state.asker)
        yield FollowedJob(first, look, changes, ear, bool(last_event_id))


async def followed_analysis(request: Request, analysis_id: str) -> AsyncIterator[Followed[BatchStatus]]:
    """The same for an analysis."""
    desk: Intake = request.app.state.intake
    watch: Watch = request.app.state.watch
    look = partial(_priced, desk, partial(desk.store.batch, analyses.checked(analysis_id)))
    first = await look()
    async with watch.listen(analysis_id) as changes:
        yield Followed(first, look, changes)


async def _priced(desk: Intake, look: Callable[[], Awaitable[S]]) -> S:
    return priced(await look(), desk.settings.power)


@router.get("/v1/jobs/{job_id}/events", response_class=EventSourceResponse, tags=["jobs"])
async def job_events(followed: Annotated[FollowedJob, Depends(followed_job)]) -> AsyncIterator[ServerSentEvent]:
    """`state` at once and at every change, with what `GET /v1/jobs/{id}` answers; then `end`.

    For a job with `stream`, `delta` with each new piece of its text in between, and `restart` where that begins again.
    """
    async for told in spoken(followed) if followed.first.stream else statuses(followed):
        if not isinstance(told, Status):
            yield text_event(told)
            continue
        yield event("state", told, id=f"{told.attempt}.{told.state.value}")
        if told.state in TERMINAL:
            yield last_event(told)
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


async def spoken(followed: FollowedJob) -> AsyncIterator[Status | Told]:
    """The record whenever it changes, and in between the answer as it is written; all of it before the record's end."""
    shown, telling = followed.first, Telling(anew=followed.anew)
    for told in rest(telling, shown):
        yield told
    yield shown
    async for words in followed.changes:
        try:
            new = await followed.ear.hear(words)
            changed = (new.state, new.attempt) != (shown.state, shown.attempt)
            status = await followed.look() if changed else shown
        except StoreUnavailable:
            continue
        except (NotFound, Gone):
            return
        if status != shown and status.state not in TERMINAL:
            yield status
        for told in (*telling.hear(new.said), *rest(telling, status)):
            yield told
        if status != shown and status.state in TERMINAL:
            yield status
        shown = status


def rest(telling: Telling, status: Status) -> list[Told]:
    """What a job's end leaves to tell of its text."""
    return telling.end(status.answer.text, attempt=status.attempt) if status.answer else []


def text_event(told: Told) -> ServerSentEvent:
    """`delta` or `restart`; whoever connects again after one is told all of the text again."""
    name = type(told).__name__.lower()
    return ServerSentEvent(event=name, raw_data=told.model_dump_json(), id=f"{told.attempt}.text", retry=RETRY_MS)


def event(name: str, status: Status | BatchStatus, *, id: str) -> ServerSentEvent:  # noqa: A002 - the format's own term
    """A record as an event. On connecting again the state is sent again, so the id needs to lead nowhere."""
    return ServerSentEvent(event=name, data=public(status), id=id, retry=RETRY_MS)


def last_event(status: Status | BatchStatus) -> ServerSentEvent:
    """Tells a client to close: a browser would connect again."""
    return ServerSentEvent(event=END, data={"id": status.id, "state": status.state.value}, id=END)
