"""`/v1/limits`: what whoever asks may use; and the limits of keys, for admins."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from pydantic import ConfigDict

from viiwork.allowance import LimitsInUse
from viiwork.api.bodies import Body
from viiwork.api.intake import Intake
from viiwork.api.orders import json_body
from viiwork.api.principal import principal
from viiwork.apikeys import ApiKey, account_of
from viiwork.limits import LimitFields, changed
from viiwork.store import apikeys
from viiwork.store.accounts import used
from viiwork.wire import public

router = APIRouter(prefix="/v1", tags=["limits"])
LIMITS_BODY = {"application/json": {"schema": {"$ref": "#/components/schemas/LimitsBody"}}}


class LimitsBody(Body, LimitFields):
    """How much a key may ask for: what is not named stays, `none` lifts a limit, null goes back to the fleet's own."""

    model_config = ConfigDict(strict=True)


@router.get("/limits", response_model=LimitsInUse)
async def limits(request: Request) -> JSONResponse:
    """What whoever asks may use, and how much of it is left. To ask is no request that is counted."""
    desk: Intake = request.app.state.intake
    who = principal(request)
    account = account_of(who.key, who.tenant, desk.settings.limits)
    return JSONResponse(public(await used(desk.store, account)))


@router.get("/keys/{key_name}/limits", response_model=LimitsInUse)
async def limits_of(request: Request, key_name: str) -> JSONResponse:
    """What the holder of a key may use, and how much of it is left; by the key's name or id."""
    desk: Intake = request.app.state.intake
    key = await apikeys.find(desk.store, key_name)
    return JSONResponse(public(await used(desk.store, account_of(key, key.tenant, desk.settings.limits))))


@router.post(
    "/keys/{key_name}/limits",
    response_model=ApiKey,
    openapi_extra={"requestBody": {"required": True, "content": LIMITS_BODY}},
)
async def limit(request: Request, key_name: str) -> JSONResponse:
    """Say how much a key may ask for; every process of the API heeds it within a second."""
    desk: Intake = request.app.state.intake
    body = await json_body(request, LimitsBody, desk.settings.api)
    key = await apikeys.find(desk.store, key_name)
    said = body.model_dump(include=body.model_fields_set)
    return JSONResponse(public(await apikeys.limit(desk.store, key, changed(key.limits, said))))
