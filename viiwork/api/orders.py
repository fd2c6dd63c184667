"""From the body of `POST /v1/analyses`, in either form, to a checked order."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, Field, TypeAdapter, ValidationError, ValidationInfo
from starlette.requests import Request

from viiwork.api.audited import BODY
from viiwork.api.intake import Intake
from viiwork.api.limits import check_announced, in_mib, over
from viiwork.api.problems import wrong_field
from viiwork.api.requests import AnalysisBody, DocumentBody, NoteBody, OrderBody
from viiwork.api.room import share_of
from viiwork.api.uploads import Form, UploadedFile, discard
from viiwork.api.work import Item, Order
from viiwork.documents.taskcheck import check_options
from viiwork.errors import NotFound, UsageError
from viiwork.labels import parse_labels
from viiwork.settings import ApiSection
from viiwork.settings.service import ResultsSection
from viiwork.store import BlobRef, BlobStore, Store, files
from viiwork.work import TaskOptions

M = TypeVar("M", bound=BaseModel)
PLAIN_FIELDS = ("task", "lane", "model", "priority", "callback_url")
JSON_FIELDS = ("deadline_s", "retention_hours", "metadata")
JSON_OPTIONS = ("questions", "schema", "multi", "rationale")
OPTION_FIELDS = ("options", "labels", "question", "prompt", *JSON_OPTIONS)
FORM_FIELDS = frozenset({*PLAIN_FIELDS, *JSON_FIELDS, *OPTION_FIELDS, "documents"})


def _one_a_file(given: object, info: ValidationInfo) -> object:
    """As it is. Raises UsageError before the first of too many is looked at; the context is how many files came."""
    if isinstance(given, list) and len(given) != info.context:
        message = f"documents: speaks of {len(given)} files, but {info.context} came."
        raise UsageError(message, hint="Give one entry a file, in the order of the files.", param="documents")
    return given


NOTES = TypeAdapter(Annotated[tuple[NoteBody, ...], Field(fail_fast=True), BeforeValidator(_one_a_file)])
UNPRINTABLE = dict.fromkeys((*range(32), *range(127, 160)))


async def json_body(request: Request, model: type[M], limits: ApiSection) -> M:
    """The request's JSON body as `model`. Raises UsageError naming the field, TooLarge, Busy."""
    check_announced(request.headers, limits.max_json_bytes, "the body", "max_json_bytes", param="body")
    raw, share = bytearray(), share_of(request)
    async for chunk in request.stream():
        share.take(len(chunk))
        raw += chunk
        if len(raw) > limits.max_json_bytes:
            raise over("the body", in_mib(limits.max_json_bytes), "max_json_bytes", param="body")
    try:
        body = model.model_validate_json(bytes(raw), context=limits)
    except ValidationError as error:
        raise wrong_field(error, of=model) from error
    setattr(request.state, BODY, body)
    return body


async def order_of_json(body: AnalysisBody, desk: Intake, *, tenant: str) -> Order:
    """The order of a JSON body; files that it names are its own from now on. Raises UsageError, TooLarge,
    ModelNotServed."""
    items = [
        await _file(document, index, desk.store, tenant)
        if document.file_id is not None
        else Item(
            name=display_name(document.name) or f"text-{index + 1}",
            custom_id=document.custom_id,
            metadata=document.metadata,
            text=document.text,
        )
        for index, document in enumerate(body.documents)
    ]
    order = await _order(body, items, desk, param="documents")
    return replace(order, items=await _doubled(items, desk.store.directory))


async def _file(document: DocumentBody, index: int, store: Store, tenant: str) -> Item:
    """A document that was uploaded before. Raises NotFound."""
    file = await files.find(store, tenant, document.file_id or "")
    if file is None:
        param = f"documents.{index}.file_id"
        raise NotFound(f"{param}: there is no such file of yours.", param=param)
    return Item(
        name=display_name(document.name) or file.filename,
        custom_id=document.custom_id,
        metadata=document.metadata,
        blob=BlobRef(file.blob, file.bytes, file.sha256),
    )


async def _doubled(items: Sequence[Item], blobs: BlobStore) -> list[Item]:
    """The same with blobs of their own: a file may be removed while its analysis runs, and the other way round."""
    made: list[Item] = []
    try:
        for item in items:
            own = item.blob and replace(item.blob, id=await blobs.double(item.blob.id))
            made.append(replace(item, blob=own))
    except BaseException:
        await discard(blobs, [item.blob for item in made if item.blob])
        raise
    return made


async def check_fields(desk: Intake, fields: Mapping[str, str]) -> None:
    """Look at the fields that came before the first file; a task that comes later is looked at then."""
    _check_names(fields)
    if fields.get("task"):
        await _checked(_form_body(fields), desk)


async def order_of_form(form: Form, desk: Intake) -> Order:
    """The order of a multipart form. Raises UsageError, ModelNotServed."""
    _check_names(form.fields)
    notes = _notes(form.fields.get("documents"), len(form.files))
    items = [_uploaded(file, note, index) for index, (file, note) in enumerate(zip(form.files, notes, strict=True))]
    return await _order(_form_body(form.fields), items, desk, param="files")


async def _order(body: OrderBody, items: list[Item], desk: Intake, *, param: str) -> Order:
    if not items:
        raise UsageError(f"{param}: send at least one document.", param=param)
    options, model = await _checked(body, desk)
    return Order(
        task=body.task,
        options=options,
        lane=body.lane,
        model=model,
        asked_model=body.model or None,
        deadline_s=body.deadline_s,
        priority=body.priority,
        items=items,
        callback_url=body.callback_url,
        retention_hours=body.retention_hours,
        metadata=body.metadata,
    )


async def _checked(body: OrderBody, desk: Intake) -> tuple[TaskOptions, str]:
    """The options and the model to run on."""
    check_retention(body.retention_hours, desk.settings.results)
    if body.callback_url is not None:
        desk.callbacks.check_url(body.callback_url, param="callback_url")
    options = body.options.to_wire(body.task)
    await asyncio.to_thread(check_options, body.task, options)  # a schema may take half a second to look through
    model = await desk.model(body.model)
    await desk.room(model, body.task, options)
    return options, model


def _check_names(fields: Mapping[str, str]) -> None:
    unknown = sorted(set(fields) - FORM_FIELDS)
    if unknown:
        raise UsageError(f"{unknown[0][:64]}: there is no such field.", param=unknown[0][:64])


def _form_body(fields: Mapping[str, str]) -> OrderBody:
    body: dict[str, Any] = {name: fields[name] for name in PLAIN_FIELDS if fields.get(name)}
    body["options"] = _form_options(fields)
    body |= {name: _json(fields, name) for name in JSON_FIELDS if fields.get(name)}
    try:
        return OrderBody.model_validate(body)
    except ValidationError as error:
        raise wrong_field(error, of=OrderBody) from error


def _form_options(fields: Mapping[str, str]) -> dict[str, Any]:
    options = _json(fields, "options") if fields.get("options") else {}
    if not isinstance(options, dict):
        raise UsageError("options: must be a JSON object.", param="options")
    options |= {name: fields[name] for name in ("question", "prompt") if fields.get(name)}
    options |= {name: _json(fields, name) for name in JSON_OPTIONS if fields.get(name)}
    if fields.get("labels"):
        options["labels"] = _form_labels(fields)
    return options


def _form_labels(fields: Mapping[str, str]) -> object:
    if fields["labels"].lstrip().startswith("["):
        return _json(fields, "labels")
    return [label.model_dump() for label in parse_labels(fields["labels"])]


def _json(fields: Mapping[str, str], name: str) -> Any:
    try:
        return json.loads(fields[name])
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{name}: is not valid JSON.", param=name) from error


def _notes(raw: str | None, files: int) -> tuple[NoteBody, ...]:
    if not raw:
        return (NoteBody(),) * files
    try:
        return NOTES.validate_json(raw, context=files)
    except ValidationError as error:
        raise wrong_field(error, within="documents") from error


def _uploaded(file: UploadedFile, note: NoteBody, index: int) -> Item:
    name = display_name(note.name or file.name) or f"file-{index + 1}"
    return Item(name=name, custom_id=note.custom_id, metadata=note.metadata, blob=file.blob)


def display_name(name: str) -> str:
    """A name fit to be shown; it is never used as a path."""
    return name.translate(UNPRINTABLE).strip()[:1024]


def check_retention(hours: float | None, results: ResultsSection) -> None:
    """Raises UsageError for more hours than the fleet lets anybody ask for."""
    most = results.longest_hours
    if hours is not None and most is not None and hours > most:
        message = f"retention_hours: results are kept for at most {most:g} hours here."
        raise UsageError(message, hint="Ask for fewer, or raise results.max_days.", param="retention_hours")
