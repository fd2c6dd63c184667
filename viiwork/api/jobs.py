"""`/v1/jobs`: single requests to an engine."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse

from viiwork.api.intake import Intake
from viiwork.api.limits import announced_lines, check_announced, over
from viiwork.api.orders import json_body
from viiwork.api.priced import Used, priced
from viiwork.api.requests import LONGEST_DEADLINE_S, JobBody, check_query
from viiwork.api.submission import submit_file
from viiwork.api.waiting import settled
from viiwork.api.work import FileOrder, Sender, announced_digest, sender
from viiwork.errors import NotFound, UsageError
from viiwork.jobfile import MEDIA_TYPE as FILE
from viiwork.jobs import ID_PATTERN, BatchStatus, Lane, Priority, Status
from viiwork.wire import public

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])

Wait = Annotated[float, Query(ge=0, le=60, description="Seconds to wait for the job's end; of a single job alone.")]
BODY = {
    "required": True,
    "content": {
        "application/json": {"schema": {"$ref": "#/components/schemas/JobBody"}},
        FILE: {"schema": {"$ref": "#/components/schemas/LineBody"}},
    },
}
QUERY_OF_JOB = ("wait",)
QUERY_OF_FILE = ("lane", "model", "deadline_s", "priority", "keep_s", "callback_url")
OfFile = Query(description=f"Of a file of jobs ({FILE}) alone.")


@router.post("", status_code=202, response_model=Status | BatchStatus, openapi_extra={"requestBody": BODY})
async def submit(
    request: Request,
    wait: Wait = 0,
    *,
    lane: Annotated[Lane | None, OfFile] = None,
    model: Annotated[str | None, OfFile] = None,
    deadline_s: Annotated[float | None, Query(gt=0, le=LONGEST_DEADLINE_S, description=OfFile.description)] = None,
    priority: Annotated[Priority | None, OfFile] = None,
    keep_s: Annotated[float | None, Query(gt=0, le=LONGEST_DEADLINE_S, description=OfFile.description)] = None,
    callback_url: Annotated[str | None, Query(min_length=1, max_length=2048, description=OfFile.description)] = None,
) -> JSONResponse:
    """Submit one job; with `wait` the answer may already hold its result. Or a file of jobs, one a line."""
    desk: Intake = request.app.state.intake
    who = sender(request)
    kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
    await desk.check_open()
    if kind == FILE:
        check_query(request.query_params, QUERY_OF_FILE, of="a file of jobs")
        order = FileOrder(
            lane=lane or Lane.BATCH,
            asked_model=model or None,
            deadline_s=deadline_s,
            priority=priority or Priority.NORMAL,
            sha256=announced_digest(request),
            lines=announced_lines(request.headers),
            keep_s=keep_s,
            callback_url=callback_url,
        )
        return await _submit_file(request, desk, order, who)
    if kind != "application/json":
        message = f"content-type: must be application/json (one job) or {FILE} (a file of jobs)."
        raise UsageError(message, param="content-type")
    check_query(request.query_params, QUERY_OF_JOB, of="a single job")
    body = await json_body(request, JobBody, desk.settings.api)
    status = await desk.submit_job(body, who)
    status = await settled(desk, status.id, wait_s=wait, request=request) if wait else status
    return JSONResponse(told(desk, status), 202, headers={"location": f"/v1/jobs/{status.id}"})


async def _submit_file(request: Request, desk: Intake, order: FileOrder, who: Sender) -> JSONResponse:
    if who.key is not None and order.sha256 is None:
        message = "Content-Digest: a file of jobs that carries an Idempotency-Key must carry its digest too."
        raise UsageError(message, hint="Send `sha-256=:<base64>:`.", param="Content-Digest")
    await desk.callbacks.check_request(order.callback_url, tenant=who.tenant)
    limits = desk.settings.api
    check_announced(request.headers, limits.max_upload_bytes, "the file", "max_upload_bytes", param="body")
    if order.lines > limits.max_lines:
        raise over("the file", f"{limits.max_lines} lines", "max_lines", param="body")
    status = await submit_file(desk, order, who, request.stream())
    headers = {"location": f"/v1/analyses/{status.id}"} | await desk.durability()
    return JSONResponse(told(desk, status), 202, headers=headers)


@router.get("/{job_id}", response_model=Status)
async def look(request: Request, job_id: str, wait: Wait = 0) -> JSONResponse:
    """A job's state, and its answer once there is one."""
    desk: Intake = request.app.state.intake
    return JSONResponse(told(desk, await settled(desk, checked(job_id), wait_s=wait, request=request)))


@router.post("/{job_id}/cancel", response_model=Status)
async def cancel(request: Request, job_id: str) -> JSONResponse:
    """Cancel a job; one that has ended stays as it is."""
    desk: Intake = request.app.state.intake
    await desk.store.cancel(checked(job_id))
    return JSONResponse(told(desk, await desk.store.job(job_id)))


def told(desk: Intake, status: Used) -> dict[str, Any]:
    """A job, or a file of them, as a client sees it."""
    return public(priced(status, desk.settings.power))


def checked(job_id: str) -> str:
    """The id if it can be one. Raises NotFound."""
    if not ID_PATTERN.match(job_id) or (job_id.startswith("an_") and "-" not in job_id):
        message = "There is no such job; its id starts with `job_`, or is `an_…-12` for one of an analysis or a file."
        raise NotFound(message)
    return job_id
