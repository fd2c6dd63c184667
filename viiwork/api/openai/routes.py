"""`/v1/chat/completions`, `/v1/completions`, `/v1/embeddings`: an answer while somebody waits for it.

Each request is a job as any other: recorded, queued, run by whichever worker has room, tried again if that one is lost.
"""

from __future__ import annotations

from functools import partial
from typing import Any, TypeVar

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response

from viiwork.api.document import refusal as refused
from viiwork.api.intake import Intake
from viiwork.api.openai.answers import response_of
from viiwork.api.openai.asked import Asked, asked_of, lane_of
from viiwork.api.openai.attachments import Attachments, kept_file
from viiwork.api.openai.bodies import AnyBody, ChatBody, CompletionBody, EmbeddingBody
from viiwork.api.openai.faults import failure_of
from viiwork.api.openai.orders import parts_of
from viiwork.api.openai.problems import refusal
from viiwork.api.openai.shapes import ChatCompletion, Completion, Embeddings
from viiwork.api.openai.streams import Stream
from viiwork.api.openai.waiting import HungUp, all_ended, unless_gone, while_here
from viiwork.api.orders import json_body
from viiwork.api.quota import check_rate
from viiwork.api.work import sender
from viiwork.errors import ViiworkError
from viiwork.jobs import Lane, State
from viiwork.store.ears import Vigil
from viiwork.store.express import Ended
from viiwork.store.gathering import Gathering
from viiwork.store.watch import Watch

router = APIRouter(prefix="/v1", tags=["openai"])
B = TypeVar("B", ChatBody, CompletionBody, EmbeddingBody)
NOBODY = 499
"""As nginx says it of a client that has hung up; nobody reads it."""


def _told(model: str, *, streams: bool = True) -> dict[str, Any]:
    """What the OpenAPI document says of a route."""
    content = {"application/json": {"schema": {"$ref": f"#/components/schemas/{model}"}}}
    events: dict[str, Any] = {"text/event-stream": {"schema": {"type": "string"}}} if streams else {}
    whole: dict[str, Any] = {"description": "As the OpenAI API has it.", "content": {"application/json": {}} | events}
    answers = {"200": whole} | {str(status): refused(status) for status in (404, 410, 422, 504)}
    return {"openapi_extra": {"requestBody": {"required": True, "content": content}, "responses": answers}}


@router.post("/chat/completions", response_model=ChatCompletion, **_told("ChatBody"))
async def chat(request: Request) -> Response:
    """The next turn of a chat; with `stream` as server-sent events."""
    return await _answered(request, ChatBody)


@router.post("/completions", response_model=Completion, **_told("CompletionBody"))
async def complete(request: Request) -> Response:
    """Text that goes on from a prompt; with `stream` as server-sent events."""
    return await _answered(request, CompletionBody)


@router.post("/embeddings", response_model=Embeddings, **_told("EmbeddingBody", streams=False))
async def embed(request: Request) -> Response:
    """A vector for each text."""
    return await _answered(request, EmbeddingBody)


HANDLERS = {"/v1/chat/completions": chat, "/v1/completions": complete, "/v1/embeddings": embed}


async def _answered(request: Request, kind: type[B]) -> Response:
    desk: Intake = request.app.state.intake
    watch: Watch = request.app.state.watch
    asker: Gathering = request.app.state.asker
    try:
        who = sender(request)
        await desk.check_open()
        body = await json_body(request, kind, desk.settings.api)
        lane = lane_of(request, body)
        asked = await asked_of(desk, watch.mark, await read(request, body, lane), who, lane)
        keep = who.key is not None
        if not isinstance(body, EmbeddingBody) and body.stream:
            return Stream(request, asked, body, desk=desk, watch=watch, keep=keep)
        return await _whole(request, desk, watch, asker, asked, keep=keep)
    except ViiworkError as error:
        return refusal(error)
    except HungUp:
        return Response(status_code=NOBODY)


async def read(request: Request, body: B, lane: Lane) -> B:
    """The body with text in the place of its files.

    They are read only for whoever may send the chat now, and is there. Raises DocumentError, NotFound, RateLimited,
    HungUp.
    """
    if not isinstance(body, ChatBody) or not body.has_files:
        return body
    attachments: Attachments = request.app.state.attachments
    desk: Intake = request.app.state.intake
    who = sender(request)
    await check_rate(desk.store, who.tab, lane, parts_of(body))
    find = partial(kept_file, desk.store, who.tenant)
    return await unless_gone(request, attachments.resolve(body, find))


async def _whole(
    request: Request, desk: Intake, watch: Watch, asker: Gathering, asked: Asked, *, keep: bool
) -> Response:
    """The answer, once all of it is there."""
    vigil = Vigil(*asked.ids)
    try:
        with watch.told(vigil, *asked.ids):
            await asked.submit(desk, asker, heard=False)
            async with while_here(request, vigil, desk.store, () if keep else asked.ids):
                found = await all_ended(desk.store, watch, asker, asked.ids, vigil, at_once=asked.again)
    except HungUp:
        return Response(status_code=NOBODY)
    return told(asked.body, asked, found)


def told(body: AnyBody, asked: Asked, found: list[Ended]) -> JSONResponse:
    """What the ends of its jobs come to."""
    headers = asked.headers | {"x-viiwork-wait-ms": str(max(end.waited_ms for end in found))}
    for end in found:
        if end.answer is None:
            return refusal(failure_of(end.state or State.EXPIRED, end.fault, prompt=body.asks), headers)
    answers = [end.answer for end in found if end.answer is not None]
    return JSONResponse(response_of(body, answers, asked.facts), headers=headers)
