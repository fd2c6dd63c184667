"""`/v1/batches`: files of requests, run when there is room, as the OpenAI API has it; and what it lacks."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse, StreamingResponse
from pydantic import BaseModel, ConfigDict, Field

from viiwork.api.intake import DURABILITY, Intake
from viiwork.api.openai.batchlines import ENDPOINTS, Target, line_of
from viiwork.api.openai.choices import others
from viiwork.api.openai.files import mine, page
from viiwork.api.orders import json_body
from viiwork.api.requests import CallbackUrl, Deadline, Metadata
from viiwork.api.tenancy import whose
from viiwork.api.work import Sender, fingerprint, payer, sender
from viiwork.batches.batchobject import (
    OVER,
    BatchObject,
    BatchPage,
    Facts,
    inner,
    new_batch,
    shown,
)
from viiwork.batches.fileobject import BATCH_INPUT, LONGEST_S, SHORTEST_S, StoredFile
from viiwork.batches.window import seconds_of
from viiwork.errors import Conflict, NotFound, UsageError
from viiwork.jobs import READER_MODEL, Job, Lane, Priority, TaskName, new_id
from viiwork.store import filebatches
from viiwork.store.filebatches import Opening
from viiwork.store.kept import reserve
from viiwork.work import CloseInput, LinesInput

DAY_S = 86_400.0
STEP_S = 86_400.0
"""How long checking or writing all of a batch's lines may take, and how long what is known of that is kept."""
NEXT = "x-viiwork-after"
LINES: dict[int | str, dict[str, Any]] = {200: {"content": {"application/x-ndjson": {"schema": {"type": "string"}}}}}
MAX_POSITION = 2**53
RESPONSES = "/v1/responses"

router = APIRouter(prefix="/v1/batches", tags=["batches"])


class ExpiresAfter(BaseModel):
    """How long what a batch writes is kept."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    anchor: Annotated[str, Field(pattern="^created_at$")] = "created_at"
    seconds: Annotated[int, Field(strict=True, ge=SHORTEST_S, le=LONGEST_S)]


class BatchBody(BaseModel):
    """`POST /v1/batches`. Unknown fields pass; `priority`, `deadline_s` and `callback_url` are extensions."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    input_file_id: Annotated[str, Field(max_length=128)]
    endpoint: Annotated[str, Field(max_length=128)]
    completion_window: Annotated[str, Field(max_length=16)]
    metadata: Metadata | None = None
    output_expires_after: ExpiresAfter | None = None
    priority: Priority = Priority.NORMAL
    deadline_s: Deadline | None = None
    callback_url: CallbackUrl | None = None

    @property
    def said(self) -> list[Any]:
        """What makes this request the same as another."""
        return [self.model_dump(mode="json", exclude_defaults=True)]


BODY = {"required": True, "content": {"application/json": {"schema": {"$ref": "#/components/schemas/BatchBody"}}}}
After = Annotated[str, Query(max_length=128, description="The `last_id` of the page before.")]


@router.post("", response_model=BatchObject, openapi_extra={"requestBody": BODY})
async def create(request: Request) -> JSONResponse:
    """Run every line of a file that was uploaded for it. Its lines are checked in the background."""
    desk: Intake = request.app.state.intake
    who = sender(request)
    await desk.check_open()
    body = await json_body(request, BatchBody, desk.settings.api)
    window_s = _checked(body)
    await desk.callbacks.check_request(body.callback_url, tenant=who.tenant)
    file = await _input(request, body.input_file_id)
    batch = await _begun(desk, who, body, file, window_s=window_s)
    told = await desk.durability()
    return JSONResponse(shown(batch), headers={DURABILITY: told[DURABILITY]})


@router.get("", response_model=BatchPage)
async def list_batches(
    request: Request, after: After = "", limit: Annotated[int, Query(ge=1, le=100)] = 20
) -> JSONResponse:
    """Your batches, the newest first."""
    desk: Intake = request.app.state.intake
    behind = (inner(after) or after) if after else ""
    found, more = await filebatches.listed(desk.store, sender(request).tenant, after=behind, limit=limit)
    return JSONResponse(page([shown(one) for one in found], more=more))


@router.get("/{batch_id}", response_model=BatchObject)
async def look(request: Request, batch_id: str) -> JSONResponse:
    """How a batch stands."""
    return JSONResponse(shown(await _mine(request, batch_id)))


@router.post("/{batch_id}/cancel", response_model=BatchObject)
async def cancel(request: Request, batch_id: str) -> JSONResponse:
    """End a batch; lines that have ended stay in its files."""
    desk: Intake = request.app.state.intake
    batch = await _mine(request, batch_id)
    if batch.stage in OVER - {"cancelled"}:
        raise Conflict(f"This batch has ended: it is {batch.stage}.", code="ended")
    await desk.store.cancel_batch(batch.status.id)
    return JSONResponse(shown(await _mine(request, batch_id)))


@router.post("/{batch_id}/pause", response_model=BatchObject)
async def pause(request: Request, batch_id: str) -> JSONResponse:
    """Start no more lines until it is resumed; what runs is finished. Its window goes on. (An extension.)"""
    desk: Intake = request.app.state.intake
    await desk.store.pause(await _running(request, batch_id))
    return JSONResponse(shown(await _mine(request, batch_id)))


@router.post("/{batch_id}/resume", response_model=BatchObject)
async def resume(request: Request, batch_id: str) -> JSONResponse:
    """Go on with it. (An extension.)"""
    desk: Intake = request.app.state.intake
    await desk.store.resume(await _running(request, batch_id))
    return JSONResponse(shown(await _mine(request, batch_id)))


@router.get("/{batch_id}/output", response_class=StreamingResponse, responses=LINES)
async def output(
    request: Request, batch_id: str, after: Annotated[int, Query(ge=0, le=MAX_POSITION)] = 0
) -> StreamingResponse:
    """The lines that have ended so far, answered or not, also while others run. (An extension.)

    `x-viiwork-after` is what to ask for the next time as `after`: only lines that ended since are told then.
    """
    desk: Intake = request.app.state.intake
    batch = await _mine(request, batch_id)
    upto = await desk.store.settled_rows(batch.status.id)
    headers = {NEXT: str(max(after, upto))}
    return StreamingResponse(
        _lines(desk, batch, after=after, upto=upto), media_type="application/x-ndjson", headers=headers
    )


async def _lines(desk: Intake, batch: Facts, *, after: int, upto: int) -> AsyncIterator[bytes]:
    target = target_of(batch)
    async for row in filebatches.rows(desk.store, batch.status.id, after=after, upto=upto):
        more = await others(desk.store, row, target)
        if more is not None:
            yield line_of(row, target, created_ms=batch.status.created_ms, others=more)[1]


def target_of(batch: Facts, *, timeout_s: float = 0.0, context_tokens: int = 0) -> Target:
    """Where its lines go."""
    status = batch.status
    return Target(status.id, status.tenant, batch.endpoint, status.model, timeout_s, context_tokens)


def _checked(body: BatchBody) -> float:
    """The seconds that the batch has. Raises UsageError."""
    if body.endpoint not in ENDPOINTS:
        hint = f"There are {', '.join(ENDPOINTS)}."
        if body.endpoint == RESPONSES:
            hint += " What is sent to /v1/responses can be sent as a chat."
        raise UsageError("endpoint: a batch is not for this one here.", hint=hint, param="endpoint")
    window_s = seconds_of(body.completion_window)
    if window_s is None:
        message = "completion_window: must be such as 24h, 90m or 7d, of at most 366 days."
        raise UsageError(message, param="completion_window")
    return window_s if body.deadline_s is None else min(window_s, body.deadline_s)


async def _input(request: Request, file_id: str) -> StoredFile:
    """The file of its lines. Raises NotFound, UsageError."""
    try:
        file = await mine(request, file_id)
    except NotFound as error:
        raise NotFound("input_file_id: there is no such file of yours.", param="input_file_id") from error
    if file.purpose != BATCH_INPUT:
        message = "input_file_id: this file was not uploaded with the purpose batch."
        raise UsageError(message, hint="Upload it again with purpose=batch.", param="input_file_id")
    return file


async def _begun(desk: Intake, who: Sender, body: BatchBody, file: StoredFile, *, window_s: float) -> Facts:
    """The batch; of a request that came before under its key, the one that was made then."""
    fresh = new_batch()
    async with desk.turn(who):
        batch_id = await desk.admit(who, lambda: fingerprint("file_batch", body.said), fresh)
        known = await filebatches.known(desk.store, batch_id) if batch_id != fresh else None
        if known is not None:
            return known
        await reserve(desk.store, batch_id, payer(who))
        kept = await desk.store.directory.double(file.blob)  # the file may be removed while the batch runs
        opening = Opening(
            id=batch_id,
            tenant=who.tenant,
            endpoint=body.endpoint,
            input_file=file.id,
            window=body.completion_window,
            deadline_s=window_s,
            priority=body.priority,
            metadata=body.metadata,
            callback_url=body.callback_url,
            outputs_s=body.output_expires_after.seconds if body.output_expires_after else None,
            payer=payer(who).key,
        )
        lines, close = steps(opening, kept, who)
        await filebatches.begin(desk.store, opening, lines=lines, close=close)
        # a reader may be at it already, and who has just made it is told that it is about to be looked at
        return replace(await filebatches.look(desk.store, who.tenant, batch_id), in_progress_ms=None)


def steps(opening: Opening, blob: str, who: Sender) -> tuple[Job, Job]:
    """The jobs that fill and close a batch. They are none of its own: whatever ends its lines does not end them."""
    account = who.tab.line(Lane.BATCH) if who.tab else ""
    common: dict[str, Any] = {
        "tenant": opening.tenant,
        "lane": Lane.BATCH,
        "model": READER_MODEL,
        "timeout_s": STEP_S,
        "keep_s": DAY_S,
    }
    lines = LinesInput(batch=opening.id, blob=blob, endpoint=opening.endpoint, account=account)
    close = CloseInput(batch=opening.id, blob=blob)
    return (
        Job(id=new_id("job"), task=TaskName.READ, input=lines, **common),
        Job(id=new_id("job"), task=TaskName.MERGE, input=close, waits_for=1, **common),
    )


async def _mine(request: Request, batch_id: str) -> Facts:
    desk: Intake = request.app.state.intake
    return await filebatches.look(desk.store, whose(request), inner(batch_id) or "none")


async def _running(request: Request, batch_id: str) -> str:
    """The inner id of one that has not ended. Raises NotFound, Conflict."""
    batch = await _mine(request, batch_id)
    if batch.stage not in ("validating", "in_progress"):
        raise Conflict(f"This batch has ended: it is {batch.stage}.", code="ended")
    return batch.status.id
