"""`/v1/callbacks`: what was told to whom, what was given up, and sending it once more."""

from __future__ import annotations

from collections.abc import AsyncIterator
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
    """A page as it is there for whoever asks, and where the next one begins: behind one of their own."""
    if before is not None and not who.admin and await callback_owner(store, before) != who.tenant:
        return DeliveryPage()  # as behind what never was
    found: list[tuple[str, callbacks.Record]] = []
    async for one in _seen(store, state, before=before, who=who, size=limit + 1 if who.admin else MOST):
        found.append(one)
        if len(found) > limit:
            break
    told = tuple(_told(one, record) for one, record in found[:limit])
    return DeliveryPage(callbacks=told, before=found[limit - 1][0] if len(found) > limit else None)


async def _seen(
    store: Store, state: DeliveryState, *, before: str | None, who: Principal, size: int
) -> AsyncIterator[tuple[str, callbacks.Record]]:
    """Those that are there for whoever asks, the newest first; so many are read in one trip."""
    while True:
        found = await callbacks.listed(store, state, before=before, limit=size)
        for one, record in found:
            if who.sees(record.get("tenant", "")):
                yield one, record
        if len(found) < size:
            return
        before = found[-1][0]


async def _replayed(store: Store, callback_id: str, who: Principal) -> bool:
    """Whether one that is there for whoever asks is sent once more."""
    if not who.admin and await callback_owner(store, callback_id) != who.tenant:
        return False
    return await callbacks.replay(store, callback_id)


async def _all_dead(store: Store, who: Principal) -> tuple[str, ...]:
    seen = _seen(store, DeliveryState.DEAD, before=None, who=who, size=MOST)
    return tuple([one async for one, _ in seen])


def _told(callback_id: str, record: callbacks.Record) -> Delivery:
    return callbacks.delivery_of(callback_id, record, url=shown(record.get("url", "")))
