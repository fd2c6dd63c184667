"""`/v1/dead`: jobs that were given up, to be looked at, tried again or put away."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse
from pydantic import Field

from viiwork.api.bodies import Body
from viiwork.api.intake import Intake
from viiwork.api.jobs import checked
from viiwork.api.orders import json_body
from viiwork.api.principal import Principal, principal
from viiwork.api.tenancy import check_own
from viiwork.api.work import fingerprint, sender
from viiwork.deadletters import MOST, DeadPage, DeadSweep, Refusal
from viiwork.errors import Conflict, NotFound, UsageError
from viiwork.jobs import State, Status
from viiwork.wire import public

LATEST_MS = 2**53
"""The largest integer that every JSON reader takes exactly, and far behind every clock."""

router = APIRouter(prefix="/v1/dead", tags=["dead letters"])

Before = Annotated[int | None, Query(ge=0, le=LATEST_MS, description="The `before` of the page before.")]
Limit = Annotated[int, Query(ge=1, le=MOST)]
Act = Callable[[str], Awaitable[Status | None]]


class SomeDead(Body):
    """Which dead letters: those named, else all that died before a moment."""

    ids: Annotated[tuple[str, ...], Field(min_length=1, max_length=MOST)] | None = None
    before: Annotated[int, Field(strict=True, ge=0, le=LATEST_MS)] | None = None


BODY = {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/SomeDead"}}}}


@router.get("", response_model=DeadPage)
async def list_dead(request: Request, before: Before = None, limit: Limit = 100) -> JSONResponse:
    """Dead letters, the last to die first."""
    desk: Intake = request.app.state.intake
    return JSONResponse(public(await page(desk, principal(request), before=before, limit=limit)))


@router.get("/{job_id}", response_model=Status)
async def show(request: Request, job_id: str) -> JSONResponse:
    """A dead letter with its history."""
    desk: Intake = request.app.state.intake
    return JSONResponse(public(await dead_status(desk, job_id)))


@router.post("/retry", response_model=DeadSweep, openapi_extra={"requestBody": BODY})
async def retry_some(request: Request) -> JSONResponse:
    """Try those named again, or all: at most 500 a request, then go on with `before`."""
    desk: Intake = request.app.state.intake
    return await _sweep(request, desk, partial(desk.store.retry, once=once_of(request)))


@router.post("/purge", response_model=DeadSweep, openapi_extra={"requestBody": BODY})
async def purge_some(request: Request) -> JSONResponse:
    """Take those named out of the dead letters, or all: at most 500 a request, then go on with `before`."""
    desk: Intake = request.app.state.intake
    return await _sweep(request, desk, desk.store.purge_dead)


@router.post("/{job_id}/retry", response_model=Status)
async def retry(request: Request, job_id: str) -> JSONResponse:
    """Try a dead job again with a clean slate; for a part of a document, the whole document: the job that starts."""
    desk: Intake = request.app.state.intake
    again = await came_before(request, desk, job_id)
    act = partial(desk.store.retry, once=once_of(request))
    return JSONResponse(public(await _once(desk, act, job_id, again=again)))


@router.delete("/{job_id}", response_model=Status)
async def purge(request: Request, job_id: str) -> JSONResponse:
    """Take a job out of the dead letters; its status stays until its time is over."""
    desk: Intake = request.app.state.intake
    again = await came_before(request, desk, job_id)
    return JSONResponse(public(await _once(desk, desk.store.purge_dead, job_id, again=again)))


async def page(desk: Intake, who: Principal, *, before: int | None, limit: int) -> DeadPage:
    """A page of those that are there for whoever asks, and where the next one begins: behind one of their own.

    A page ends between two milliseconds, so that none is left out: a crash may have ended many jobs in one.
    """
    tenant, at_once = None if who.admin else who.tenant, limit
    while True:
        own = await desk.store.dead(before_ms=before, limit=at_once + 1, tenant=tenant)
        if len(own) <= limit:
            return DeadPage(dead=tuple(own))
        next_ms = _died(own[limit])
        if _died(own[0]) == next_ms:  # more in one moment than a page holds
            next_ms = next((_died(one) for one in own if _died(one) < next_ms), -1)
        if next_ms >= 0:
            return DeadPage(dead=tuple(one for one in own if _died(one) > next_ms), before=next_ms + 1)
        if len(own) <= at_once:
            return DeadPage(dead=tuple(own))
        at_once *= 2


def _died(status: Status) -> int:
    return status.finished_ms or 0


async def dead_status(desk: Intake, job_id: str) -> Status:
    """The status of a dead job. Raises NotFound for one that is not dead."""
    status = await desk.store.job(checked(job_id))
    if status.state is not State.DEAD:
        raise NotFound(f"{job_id} is not a dead letter: it is {status.state.value}.", hint="See GET /v1/jobs/{id}.")
    return status


async def came_before(request: Request, desk: Intake, what: object) -> bool:
    """Whether this request is the second try of one whose answer was lost, by its Idempotency-Key.

    What it asks for may then be done already, which is no conflict.
    """
    who = sender(request)
    if who.key is None:
        return False
    mine = secrets.token_hex(8)
    print_ = fingerprint(f"{request.method} {request.url.path}", what)
    return await desk.store.admit(tenant=who.tenant, key=who.key, fingerprint=print_, id=mine) != mine


def once_of(request: Request) -> str:
    """The same for a request that is sent again with its Idempotency-Key; empty for one without."""
    who = sender(request)
    return hashlib.sha256(f"{who.tenant} {who.key}".encode()).hexdigest()[:16] if who.key is not None else ""


async def _sweep(request: Request, desk: Intake, act: Act) -> JSONResponse:
    some = await _some(request, desk)
    again = await came_before(request, desk, some.model_dump(mode="json"))
    if some.ids is not None:
        return JSONResponse(public(await _each(desk, some.ids, partial(_own, request, act), again=again)))
    found = await page(desk, principal(request), before=some.before, limit=MOST)
    # A part that is retried takes the other parts of its document along; these are no longer dead at their turn.
    swept = await _each(desk, [status.id for status in found.dead], act, again=True)
    return JSONResponse(public(swept.model_copy(update={"before": found.before})))


async def _own(request: Request, act: Act, job_id: str) -> Status | None:
    """Act on one's own alone. Raises NotFound."""
    await check_own(request, job_id)
    return await act(job_id)


async def _some(request: Request, desk: Intake) -> SomeDead:
    if request.headers.get("content-length", "0") == "0" and "transfer-encoding" not in request.headers:
        return SomeDead()
    some = await json_body(request, SomeDead, desk.settings.api)
    if some.ids is not None and some.before is not None:
        raise UsageError("ids: give ids or before, not both.", param="ids")
    return some


async def _each(desk: Intake, ids: Sequence[str], act: Act, *, again: bool) -> DeadSweep:
    """Act on one after the other; those that cannot be are named."""
    refused = []
    ids = tuple(dict.fromkeys(ids))
    for job_id in ids:
        try:
            await _once(desk, act, job_id, again=again)
        except UsageError as error:
            refused.append(Refusal(id=job_id, code=error.code, message=str(error)))
    return DeadSweep(done=len(ids) - len(refused), refused=tuple(refused))


async def _once(desk: Intake, act: Act, job_id: str, *, again: bool) -> Status:
    """Act on one job; `again` says that it may have been done already. Answers the job that it was done to."""
    try:
        return await act(checked(job_id)) or await desk.store.job(job_id)
    except (Conflict, NotFound):
        if not again:
            raise
        return await desk.store.job(job_id)  # raises NotFound for one that never was
