"""`/v1/analyses`: documents in, answers out."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse, StreamingResponse

from viiwork.api.bodies import Body
from viiwork.api.intake import Intake
from viiwork.api.limits import announced_bytes, check_announced
from viiwork.api.orders import check_fields, json_body, order_of_form, order_of_json
from viiwork.api.priced import priced
from viiwork.api.requests import AnalysisBody
from viiwork.api.tables import chosen, table
from viiwork.api.uploads import Upload, discard
from viiwork.api.work import Order, sender
from viiwork.errors import NotFound, UsageError
from viiwork.jobs import ID_PATTERN, BatchStatus, Priority
from viiwork.tabling.formats import MEDIA_TYPES, Format
from viiwork.wire import public
from viiwork.work import AnalysisTask

MAX_POSITION = 2**53
"""The largest integer that every JSON reader takes exactly, and far below what Redis can count to."""

router = APIRouter(prefix="/v1/analyses", tags=["analyses"])

FORM_SCHEMA = {
    "type": "object",
    "required": ["files", "task"],
    "properties": {
        "files": {"type": "array", "items": {"type": "string", "format": "binary"}},
        "task": {"type": "string", "enum": [task.value for task in AnalysisTask]},
        "options": {"type": "string", "description": "JSON, as in the JSON form"},
        "labels": {"type": "string", "description": "`a,b:description,c`, or a JSON list"},
        "question": {"type": "string"},
        "questions": {"type": "string", "description": "JSON list, instead of `question`"},
        "multi": {"type": "string", "description": "`true` or `false`: several labels may hold"},
        "rationale": {"type": "string", "description": "`true` or `false`: say why each label holds"},
        "prompt": {"type": "string"},
        "schema": {"type": "string", "description": "JSON: what to extract, a JSON schema of an object"},
        "lane": {"type": "string", "enum": ["interactive", "batch"]},
        "model": {"type": "string"},
        "deadline_s": {"type": "number", "description": "seconds until nobody wants the answers any more"},
        "priority": {"type": "string", "enum": ["low", "normal", "high"]},
        "callback_url": {"type": "string", "description": "told of the analysis' end"},
        "retention_hours": {"type": "number", "description": "hours after its end until all of it is deleted"},
        "metadata": {"type": "string", "description": "JSON object of strings: of the analysis, to find it again by"},
        "documents": {"type": "string", "description": "JSON list of {name, custom_id, metadata}, one a file"},
    },
}
REQUEST_BODY = {
    "required": True,
    "content": {
        "multipart/form-data": {"schema": FORM_SCHEMA},
        "application/json": {"schema": {"$ref": "#/components/schemas/AnalysisBody"}},
    },
}
WRITTEN: dict[int | str, dict[str, Any]] = {
    200: {"content": {kind.partition(";")[0]: {"schema": {"type": "string"}} for kind in MEDIA_TYPES.values()}}
}
PRIORITY_BODY = {
    "required": True,
    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/PriorityBody"}}},
}


class PriorityBody(Body):
    """`POST /v1/analyses/{id}/priority`."""

    priority: Priority


@router.post("", status_code=202, response_model=BatchStatus, openapi_extra={"requestBody": REQUEST_BODY})
async def start(request: Request) -> JSONResponse:
    """Analyse documents: files as multipart/form-data, or texts as JSON."""
    desk: Intake = request.app.state.intake
    who = sender(request)
    await desk.check_open(body_bytes=announced_bytes(request.headers))
    order = await _order(request, desk, tenant=who.tenant)
    status = await desk.submit_analysis(order, who)
    headers = {"location": f"/v1/analyses/{status.id}"} | await desk.durability()
    return JSONResponse(told(desk, status), 202, headers=headers)


@router.get("/{analysis_id}", response_model=BatchStatus)
async def status(request: Request, analysis_id: str) -> JSONResponse:
    """How far an analysis is."""
    desk: Intake = request.app.state.intake
    return JSONResponse(told(desk, await desk.store.batch(checked(analysis_id))))


@router.post("/{analysis_id}/cancel", response_model=BatchStatus)
async def cancel(request: Request, analysis_id: str) -> JSONResponse:
    """Cancel what has not ended yet; what has stays."""
    desk: Intake = request.app.state.intake
    return JSONResponse(told(desk, await desk.store.cancel_batch(checked(analysis_id))))


@router.post("/{analysis_id}/pause", response_model=BatchStatus)
async def pause(request: Request, analysis_id: str) -> JSONResponse:
    """Start nothing more of it until it is resumed; what runs is finished. Pausing twice is pausing once."""
    desk: Intake = request.app.state.intake
    return JSONResponse(told(desk, await desk.store.pause(whole(analysis_id, "paused"))))


@router.post("/{analysis_id}/resume", response_model=BatchStatus)
async def resume(request: Request, analysis_id: str) -> JSONResponse:
    """Go on with it. One that is not paused goes on as it is."""
    desk: Intake = request.app.state.intake
    return JSONResponse(told(desk, await desk.store.resume(whole(analysis_id, "resumed"))))


@router.post("/{analysis_id}/priority", response_model=BatchStatus, openapi_extra={"requestBody": PRIORITY_BODY})
async def prioritise(request: Request, analysis_id: str) -> JSONResponse:
    """Say how it stands among the other analyses of its submitter, from the next job on."""
    desk: Intake = request.app.state.intake
    batch_id = whole(analysis_id, "given a priority")
    body = await json_body(request, PriorityBody, desk.settings.api)
    return JSONResponse(told(desk, await desk.store.set_priority(batch_id, body.priority)))


@router.get("/{analysis_id}/results", response_class=StreamingResponse, responses=WRITTEN)
async def results(
    request: Request,
    analysis_id: str,
    after: Annotated[int, Query(ge=0, le=MAX_POSITION)] = 0,
    limit: Annotated[int | None, Query(ge=1, le=MAX_POSITION)] = None,
    form: Annotated[str, Query(alias="format", description="jsonl, csv or markdown")] = Format.JSONL.value,
) -> StreamingResponse:
    """Settled documents, in the order they settled, from position `after` on; that order never changes.

    Each row has its `position`: ask again with `after` = the last one's position + 1.
    """
    desk: Intake = request.app.state.intake
    status = await desk.store.batch(checked(analysis_id))  # an error must come before the first byte
    if (wanted := chosen(form)) is not Format.JSONL:
        ending = {Format.CSV: "csv", Format.MARKDOWN: "md"}[wanted]
        headers = {"content-disposition": f'attachment; filename="{analysis_id}.{ending}"'}
        text = table(desk.store, priced(status, desk.settings.power), wanted, after=after, limit=limit)
        return StreamingResponse(text, media_type=MEDIA_TYPES[wanted], headers=headers)
    lines = _lines(desk, analysis_id, after=after, limit=limit)
    return StreamingResponse(lines, media_type="application/x-ndjson")


async def _lines(desk: Intake, analysis_id: str, *, after: int, limit: int | None) -> AsyncIterator[str]:
    async for row in desk.store.rows(analysis_id, after=after, limit=limit):
        yield json.dumps({"analysis": analysis_id, **public(row)}, ensure_ascii=False) + "\n"


async def _order(request: Request, desk: Intake, *, tenant: str) -> Order:
    content_type = request.headers.get("content-type", "")
    kind = content_type.split(";")[0].strip().lower()
    limits = desk.settings.api
    if kind == "application/json":
        return await order_of_json(await json_body(request, AnalysisBody, limits), desk, tenant=tenant)
    if kind != "multipart/form-data":
        message = "content-type: must be multipart/form-data (files) or application/json (texts)."
        raise UsageError(message, param="content-type")
    check_announced(request.headers, limits.max_upload_bytes, "the upload", "max_upload_bytes", param="files")
    upload = Upload(desk.store.directory, limits, before_files=partial(check_fields, desk))
    form = await upload.take(desk.gauge.while_room(request.stream()), content_type=content_type)
    try:
        return await order_of_form(form, desk)
    except BaseException:
        await discard(desk.store.directory, [file.blob for file in form.files])
        raise


def told(desk: Intake, status: BatchStatus) -> dict[str, Any]:
    """An analysis as a client sees it."""
    return public(priced(status, desk.settings.power))


def whole(analysis_id: str, done: str) -> str:
    """The id if it is a whole analysis'. Raises UsageError saying that a job cannot be `done`, NotFound."""
    if ID_PATTERN.match(analysis_id) and (analysis_id.startswith("job_") or "-" in analysis_id):
        hint = "One of its documents can only be cancelled." if "-" in analysis_id else "A job can only be cancelled."
        raise UsageError(f"Only a whole analysis can be {done}.", hint=hint, param="id")
    return checked(analysis_id)


def checked(analysis_id: str) -> str:
    """The id if it can be one. Raises NotFound."""
    if not ID_PATTERN.match(analysis_id) or not analysis_id.startswith("an_") or "-" in analysis_id:
        raise NotFound("There is no such analysis.", hint="`viiwork list` shows yours, with their whole ids.")
    return analysis_id
