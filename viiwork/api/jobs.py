"""`/v1/jobs`: single requests to an engine."""

from __future__ import annotations

import asyncio
import time
from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse

from viiwork.api.intake import Intake
from viiwork.api.orders import json_body
from viiwork.api.requests import JobBody
from viiwork.api.work import sender
from viiwork.errors import NotFound, UsageError
from viiwork.jobs import ID_PATTERN, TERMINAL, Status
from viiwork.wire import public

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])

Wait = Annotated[float, Query(ge=0, le=60, description="Seconds to wait for the job's end.")]
BODY = {"required": True, "content": {"application/json": {"schema": {"$ref": "#/components/schemas/JobBody"}}}}
LOOK_EVERY_S = (0.02, 0.5)
"""The first and the longest pause between two looks at a job somebody waits for."""


@router.post("", status_code=202, response_model=Status, openapi_extra={"requestBody": BODY})
async def submit(request: Request, wait: Wait = 0) -> JSONResponse:
    """Submit one job; with `wait` the answer may already hold its result."""
    desk: Intake = request.app.state.intake
    who = sender(request)
    if request.headers.get("content-type", "").split(";")[0].strip().lower() != "application/json":
        raise UsageError("content-type: must be application/json.", param="content-type")
    body = await json_body(request, JobBody, desk.settings.api)
    status = await desk.submit_job(body, who)
    status = await settled(desk, status.id, wait_s=wait, request=request) if wait else status
    return JSONResponse(public(status), 202, headers={"location": f"/v1/jobs/{status.id}"})


@router.get("/{job_id}", response_model=Status)
async def look(request: Request, job_id: str, wait: Wait = 0) -> JSONResponse:
    """A job's state, and its answer once there is one."""
    desk: Intake = request.app.state.intake
    return JSONResponse(public(await settled(desk, checked(job_id), wait_s=wait, request=request)))


@router.post("/{job_id}/cancel", response_model=Status)
async def cancel(request: Request, job_id: str) -> JSONResponse:
    """Cancel a job; one that has ended stays as it is."""
    desk: Intake = request.app.state.intake
    await desk.store.cancel(checked(job_id))
    return JSONResponse(public(await desk.store.job(job_id)))


async def settled(desk: Intake, job_id: str, *, wait_s: float, request: Request) -> Status:
    """The job's status once it has ended, or when the time (or the caller) is gone."""
    until = time.monotonic() + wait_s
    pause_s, longest_s = LOOK_EVERY_S
    status = await desk.store.job(job_id)
    while status.state not in TERMINAL and time.monotonic() < until and not await request.is_disconnected():
        await asyncio.sleep(min(pause_s, max(0.0, until - time.monotonic())))
        pause_s = min(pause_s * 1.5, longest_s)
        status = await desk.store.job(job_id)
    return status


def checked(job_id: str) -> str:
    """The id if it can be one. Raises NotFound."""
    if not ID_PATTERN.match(job_id) or (job_id.startswith("an_") and "-" not in job_id):
        raise NotFound("There is no such job; its id starts with `job_`.")
    return job_id
