"""`/v1/callbacks`: what was told to whom, what was given up, and sending it once more."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse
from pydantic import Field

from viiwork.api.bodies import Body
from viiwork.api.intake import Intake
from viiwork.api.orders import json_body
from viiwork.api.principal import Principal, principal
from viiwork.callbacks.addresses import shown
from viiwork.deadletters import Refusal
from viiwork.deliveries import MOST, Delivery, DeliveryPage, DeliveryState, Replayed
from viiwork.store import Store, callbacks
from viiwork.store.owners import callback_owner
from viiwork.wire import public

router = APIRouter(prefix="/v1/callbacks", tags=["callbacks"])

CallbackId = Annotated[str, Field(pattern=r"^msg_[0-9]{1,20}_[0-9]{1,20}$")]
Limit = Annotated[int, Query(ge=1, le=MOST)]


class SomeCallbacks(Body):
    """Which callbacks: those named, else all that were given up."""

    ids: Annotated[tuple[CallbackId, ...], Field(min_length=1, max_length=MOST)] | None = None


BODY = {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/SomeCallbacks"}}}}


@router.get("", response_model=DeliveryPage)
async def list_callbacks(
    request: Request,
    state: DeliveryState = DeliveryState.PENDING,
    before: Annotated[str | None, Query(max_length=64, description="The `before` of the page before.")] = None,
    limit: Limit = 100,
) -> JSONResponse:
    """Callbacks of one state, the newest first."""
    desk: Intake = request.app.state.intake
    return JSONResponse(public(await page(desk.store, state, before=before, limit=limit, who=principal(request))))


@router.post("/replay", response_model=Replayed, openapi_extra={"requestBody": BODY})
async def replay(request: Request) -> JSONResponse:
    """Send those named once more, or all that were given up, each as the same callback: under its `webhook-id`."""
    desk: Intake = request.app.state.intake
    some = SomeCallbacks()
    if request.headers.get("content-length", "0") != "0" or "transfer-encoding" in request.headers:
        some = await json_body(request, SomeCallbacks, desk.settings.api)
    who = principal(request)
    ids = tuple(dict.fromkeys(some.ids)) if some.ids is not None else await _all_dead(desk.store, who)
    refused = [each for each in ids if not await _replayed(desk.store, each, who)]
    why = "There is no such callback, or not any more."
    told = tuple(Refusal(id=each, code="not_found", message=why) for each in refused)
    return JSONResponse(public(Replayed(done=len(ids) - len(refused), refused=told)))


async def page(store: Store, state: DeliveryState, *, before: str | None, limit: int, who: Principal) -> DeliveryPage:
    """A page as it is there for whoever asks, and where the next one begins."""
    found = await callbacks.listed(store, state, before=before, limit=limit + 1)
    told = tuple(_told(one, record) for one, record in found[:limit] if who.sees(record.get("tenant", "")))
    return DeliveryPage(callbacks=told, before=found[limit - 1][0] if len(found) > limit else None)


async def _replayed(store: Store, callback_id: str, who: Principal) -> bool:
    """Whether one that is there for whoever asks is sent once more."""
    if not who.admin and await callback_owner(store, callback_id) != who.tenant:
        return False
    return await callbacks.replay(store, callback_id)


async def _all_dead(store: Store, who: Principal) -> tuple[str, ...]:
    ids: list[str] = []
    before: str | None = None
    while True:
        found = await callbacks.listed(store, DeliveryState.DEAD, before=before, limit=MOST)
        ids += [one for one, record in found if who.sees(record.get("tenant", ""))]
        if len(found) < MOST:
            return tuple(ids)
        before = found[-1][0]


def _told(callback_id: str, record: callbacks.Record) -> Delivery:
    return callbacks.delivery_of(callback_id, record, url=shown(record.get("url", "")))
