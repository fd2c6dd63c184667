"""`/v1/keys`: API keys, for admins; and `/v1/whoami`, for whoever has one."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from pydantic import Field

from viiwork.api.bodies import Body
from viiwork.api.dead import came_before
from viiwork.api.intake import Intake
from viiwork.api.orders import json_body
from viiwork.api.principal import principal
from viiwork.api.usage import LimitsBody
from viiwork.api.work import fingerprint, sender
from viiwork.apikeys import USUAL_SCOPES, ApiKey, KeyName, Keys, KeyShown, Scope, Tenant, WhoAmI, new_id
from viiwork.limits import NO_LIMITS, changed
from viiwork.store import apikeys
from viiwork.wire import public

LONGEST_S = 3650 * 86_400.0

router = APIRouter(prefix="/v1", tags=["keys"])


class KeyBody(Body):
    """`POST /v1/keys`."""

    name: KeyName
    tenant: Tenant | None = None
    """Default: the name."""
    scopes: Annotated[tuple[Scope, ...], Field(min_length=1, max_length=3)] = USUAL_SCOPES
    expires_s: Annotated[float, Field(strict=True, gt=0, le=LONGEST_S)] | None = None
    limits: LimitsBody | None = None


class KeyRotationBody(Body):
    """For how long the secret before is valid too; 0 ends it at once."""

    overlap_s: Annotated[float, Field(strict=True, ge=0, le=90 * 86_400.0)] = apikeys.OVERLAP_S


def _of(body: str, *, required: bool = True) -> dict[str, object]:
    schema = {"application/json": {"schema": {"$ref": f"#/components/schemas/{body}"}}}
    return {"requestBody": {"required": required, "content": schema}}


@router.get("/whoami", response_model=WhoAmI)
async def whoami(request: Request) -> JSONResponse:
    """Whose key this request carries, and what it is for; without `key` where the service needs none."""
    who = principal(request)
    told = WhoAmI(tenant=who.tenant, scopes=tuple(sorted(who.scopes)), key=who.key)
    return JSONResponse(public(told))


@router.get("/keys", response_model=Keys)
async def list_keys(request: Request) -> JSONResponse:
    """All keys, by name; never a secret."""
    desk: Intake = request.app.state.intake
    return JSONResponse(public(Keys(keys=await apikeys.every(desk.store))))


@router.post("/keys", status_code=201, response_model=KeyShown, openapi_extra=_of("KeyBody"))
async def create(request: Request) -> JSONResponse:
    """Make a key. Its secret is in this answer and in no other."""
    desk: Intake = request.app.state.intake
    who = sender(request)
    body = await json_body(request, KeyBody, desk.settings.api)
    async with desk.turn(who):
        key_id = await desk.admit(who, lambda: fingerprint("key", body.model_dump(mode="json")), new_id())
        held = await apikeys.held_by(desk.store, key_id)
        if held is not None:  # the answer to the first try was lost, and the secret with it
            return _shown(await apikeys.rotate(desk.store, held.key, unseen=True), status=201)
        fields = body.model_dump(exclude={"name", "tenant", "limits"})
        limits = changed(NO_LIMITS, body.limits.model_dump() if body.limits else {})
        made = await apikeys.create(
            desk.store, body.name, tenant=body.tenant or "", key_id=key_id, limits=limits, **fields
        )
        return _shown(made, status=201)


@router.post("/keys/{key_name}/rotate", response_model=KeyShown, openapi_extra=_of("KeyRotationBody", required=False))
async def rotate(request: Request, key_name: str) -> JSONResponse:
    """A new secret for a key, by its name or id. Both are valid for a day, so that nobody who has the old one stops."""
    desk: Intake = request.app.state.intake
    body = KeyRotationBody()
    if request.headers.get("content-length", "0") != "0" or "transfer-encoding" in request.headers:
        body = await json_body(request, KeyRotationBody, desk.settings.api)
    key = await apikeys.find(desk.store, key_name)
    again = await came_before(request, desk, body.model_dump())
    return _shown(await apikeys.rotate(desk.store, key, overlap_s=body.overlap_s, unseen=again))


@router.delete("/keys/{key_name}", response_model=ApiKey)
async def revoke(request: Request, key_name: str) -> JSONResponse:
    """Let a key open nothing any more, by its name or id: within a second, in every process of the API."""
    desk: Intake = request.app.state.intake
    key = await apikeys.find(desk.store, key_name)
    await apikeys.revoke(desk.store, key)
    return JSONResponse(public(key))


def _shown(told: KeyShown, *, status: int = 200) -> JSONResponse:
    """No cache on the way may keep it."""
    return JSONResponse(public(told), status, headers={"cache-control": "no-store"})
