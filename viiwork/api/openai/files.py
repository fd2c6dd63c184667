"""`/v1/files`: what clients send for later use, and what batches have written, as the OpenAI API has it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from fastapi.responses import FileResponse, JSONResponse
from starlette.types import Receive, Scope, Send

from viiwork.api.intake import DURABILITY, Intake
from viiwork.api.limits import announced_bytes, check_announced
from viiwork.api.orders import display_name
from viiwork.api.tenancy import whose
from viiwork.api.uploads import FILE, Form, Upload, UploadedFile, discard
from viiwork.api.work import Sender, fingerprint, payer, sender
from viiwork.batches.fileobject import (
    BATCH_INPUT,
    BATCH_INPUT_S,
    LONGEST_S,
    MAX_BATCH_BYTES,
    PURPOSES,
    SHORTEST_S,
    FileDeleted,
    FileObject,
    FilePage,
    StoredFile,
    new_file_id,
)
from viiwork.errors import NotFound, StoreUnavailable, TooLarge, UsageError
from viiwork.store import files

FORM_SCHEMA = {
    "type": "object",
    "required": ["file", "purpose"],
    "properties": {
        "file": {"type": "string", "format": "binary"},
        "purpose": {"type": "string", "enum": list(PURPOSES)},
        "expires_after[anchor]": {"type": "string", "enum": ["created_at"]},
        "expires_after[seconds]": {"type": "integer", "minimum": SHORTEST_S, "maximum": LONGEST_S},
    },
}
BODY = {"required": True, "content": {"multipart/form-data": {"schema": FORM_SCHEMA}}}
CONTENT: dict[int | str, dict[str, Any]] = {
    200: {"content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}}
}
EXPIRES = re.compile(r"expires_after\[(anchor|seconds)\]")
ANCHOR = "created_at"
MOST = 10_000
ENVELOPE_BYTES = 64 * 1024
"""What an upload may have besides its file."""

router = APIRouter(prefix="/v1/files", tags=["files"])

After = Annotated[str, Query(max_length=128, description="The `last_id` of the page before.")]
Limit = Annotated[int, Query(ge=1, le=MOST)]


@router.post("", response_model=FileObject, openapi_extra={"requestBody": BODY})
async def upload(request: Request) -> JSONResponse:
    """Keep a file: the input of a batch, or a document. It is streamed to the disk, whatever its size."""
    desk: Intake = request.app.state.intake
    who = sender(request)
    await desk.check_open(body_bytes=announced_bytes(request.headers))
    content_type = request.headers.get("content-type", "")
    if content_type.split(";")[0].strip().lower() != "multipart/form-data":
        message = "content-type: must be multipart/form-data, with the parts purpose and file."
        raise UsageError(message, param="content-type")
    limits = desk.settings.api
    check_announced(request.headers, limits.max_upload_bytes, "the upload", "max_upload_bytes", param=FILE)
    if who.key is None:  # else it may have come before
        size = max(0, announced_bytes(request.headers) - ENVELOPE_BYTES)
        await files.check_room(desk.store, payer(who), size)
    taking = Upload(desk.store.directory, limits, before_files=_look_at, part=FILE)
    form = await taking.take(desk.gauge.while_room(request.stream()), content_type=content_type)
    try:
        file = await _kept(desk, who, form)
    except BaseException:
        await discard(desk.store.directory, [one.blob for one in form.files])
        raise
    told = await desk.durability()
    return JSONResponse(file.shown(), headers={DURABILITY: told[DURABILITY]})


@router.get("", response_model=FilePage)
async def list_files(
    request: Request,
    after: After = "",
    limit: Limit = MOST,
    order: Literal["asc", "desc"] = "desc",
    purpose: Annotated[str, Query(max_length=64)] = "",
) -> JSONResponse:
    """Your files, the newest first unless `order=asc`."""
    desk: Intake = request.app.state.intake
    found, more = await files.listed(
        desk.store, sender(request).tenant, after=after, limit=limit, newest_first=order == "desc", purpose=purpose
    )
    return JSONResponse(page([file.shown() for file in found], more=more))


@router.get("/{file_id}", response_model=FileObject)
async def look(request: Request, file_id: str) -> JSONResponse:
    """What there is to say of a file."""
    return JSONResponse((await mine(request, file_id)).shown())


class Whole(FileResponse):
    """A file as it is, whatever part of it is asked for: starlette refuses a bad `Range` in words of its own."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = [(name, value) for name, value in scope["headers"] if name != b"range"]
        await super().__call__({**scope, "headers": headers}, receive, send)


@router.get("/{file_id}/content", response_class=Whole, responses=CONTENT)
async def content(request: Request, file_id: str) -> Whole:
    """The file itself, byte for byte."""
    desk: Intake = request.app.state.intake
    file = await mine(request, file_id)
    path = desk.store.directory.path(file.blob)
    if not path.is_file():
        raise StoreUnavailable("This file is missing on the disk.", hint="Look at `viiwork doctor`.")
    # no type that a browser would show: whoever sent it may not be who looks at it
    headers = {"accept-ranges": "none"}
    return Whole(path, media_type="application/octet-stream", filename=file.filename, headers=headers)


@router.delete("/{file_id}", response_model=FileDeleted)
async def delete(request: Request, file_id: str) -> JSONResponse:
    """Remove a file. A batch or an analysis that was made of it goes on: it has what it needs."""
    desk: Intake = request.app.state.intake
    if not await files.delete(desk.store, whose(request), file_id):
        raise _unknown()
    return JSONResponse(FileDeleted(id=file_id).model_dump())


async def mine(request: Request, file_id: str) -> StoredFile:
    """The sender's file of this id. Raises NotFound."""
    desk: Intake = request.app.state.intake
    file = await files.find(desk.store, whose(request), file_id)
    if file is None:
        raise _unknown()
    return file


def page(shown: list[dict[str, Any]], *, more: bool) -> dict[str, Any]:
    """A list as the OpenAI API has it."""
    first, last = (shown[0]["id"], shown[-1]["id"]) if shown else (None, None)
    return {"object": "list", "data": shown, "first_id": first, "last_id": last, "has_more": more}


async def _kept(desk: Intake, who: Sender, form: Form) -> StoredFile:
    """The record of what came, or that of the same request before. Raises UsageError, TooLarge, Conflict (too much)."""
    if not form.files:
        raise UsageError("file: send the file in a part of this name.", param=FILE)
    purpose, keep_s = said_of(form.fields)
    (sent,) = form.files
    if purpose == BATCH_INPUT and sent.blob.bytes > MAX_BATCH_BYTES:
        message = f"file: the input of a batch has at most {MAX_BATCH_BYTES:,} bytes, not {sent.blob.bytes:,}."
        raise TooLarge(message, hint="Send it as several batches.", param=FILE)
    fresh = new_file_id()
    said = [sent.name, sent.blob.sha256, purpose, keep_s]
    async with desk.turn(who):
        file_id = await desk.admit(who, partial(fingerprint, "file_object", said), fresh)
        known = await files.find(desk.store, who.tenant, file_id) if file_id != fresh else None
        if known is None:
            about = _about(sent, purpose)
            await files.put(desk.store, file_id, payer=payer(who), blob=sent.blob, keep_s=keep_s, about=about)
    if known is not None:
        await discard(desk.store.directory, [sent.blob])
        return known
    made = await files.find(desk.store, who.tenant, file_id)
    if made is None:
        raise _unknown()
    return made


def _about(sent: UploadedFile, purpose: str) -> list[str | int]:
    name = display_name(sent.name) or "file"
    return ["filename", name, "purpose", purpose, "sha256", sent.blob.sha256]


async def _look_at(fields: Mapping[str, str]) -> None:
    """Those that came before the file, so that a hopeless upload ends before its megabytes."""
    if "purpose" in fields:
        said_of(fields)


def said_of(fields: Mapping[str, str]) -> tuple[str, float | None]:
    """What a file is for and how many seconds it is kept, None for ever; unknown fields pass. Raises UsageError."""
    purpose = fields.get("purpose", "")
    if purpose not in PURPOSES:
        raise UsageError(f"purpose: must be one of {', '.join(PURPOSES)}.", param="purpose")
    given = {found[1]: value for name, value in fields.items() if (found := EXPIRES.fullmatch(name))}
    if not given:
        return purpose, float(BATCH_INPUT_S) if purpose == BATCH_INPUT else None
    if given.get("anchor", ANCHOR) != ANCHOR:
        raise UsageError(f"expires_after.anchor: must be {ANCHOR}.", param="expires_after.anchor")
    return purpose, checked_seconds(given.get("seconds", ""), param="expires_after.seconds")


def checked_seconds(said: str, *, param: str) -> float:
    """How long a file is to be kept. Raises UsageError."""
    seconds = int(said) if re.fullmatch(r"[0-9]{1,9}", said) else 0
    if not SHORTEST_S <= seconds <= LONGEST_S:
        raise UsageError(f"{param}: must be a whole number from {SHORTEST_S} to {LONGEST_S}.", param=param)
    return float(seconds)


def _unknown() -> NotFound:
    return NotFound("There is no such file of yours; its id starts with `file-`.", param="file_id")
