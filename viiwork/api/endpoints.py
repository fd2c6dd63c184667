"""`/v1/callbacks/endpoints` and `/v1/callbacks/secret`: who is told of events, and what signs for them."""

from __future__ import annotations

import secrets
from typing import Annotated

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from pydantic import Field

from viiwork.api.bodies import Body
from viiwork.api.dead import came_before
from viiwork.api.intake import Intake
from viiwork.api.orders import json_body
from viiwork.api.principal import principal
from viiwork.api.work import Sender, fingerprint, sender
from viiwork.callbacks.addresses import LONGEST_URL
from viiwork.callbacks.bureau import Bureau
from viiwork.deliveries import EVERYTHING, OF_ENDPOINTS, Endpoint, Endpoints, SecretShown, Trial
from viiwork.errors import NotFound, UsageError
from viiwork.store import endpoints
from viiwork.store.endpoints import tenant_owner
from viiwork.wire import public

router = APIRouter(prefix="/v1/callbacks", tags=["callbacks"])

EventName = Annotated[str, Field(max_length=64)]


class EndpointBody(Body):
    """`POST /v1/callbacks/endpoints`."""

    url: Annotated[str, Field(min_length=1, max_length=LONGEST_URL)]
    events: Annotated[tuple[EventName, ...], Field(min_length=1, max_length=32)] = (EVERYTHING,)


class RotationBody(Body):
    """Whether the secret before ends at once; else it signs too for a day."""

    at_once: Annotated[bool, Field(strict=True)] = False


def _of(body: str, *, required: bool = True) -> dict[str, object]:
    schema = {"application/json": {"schema": {"$ref": f"#/components/schemas/{body}"}}}
    return {"requestBody": {"required": required, "content": schema}}


@router.get("/endpoints", response_model=Endpoints)
async def list_endpoints(request: Request) -> JSONResponse:
    """The submitter's own."""
    desk: Intake = request.app.state.intake
    return JSONResponse(public(Endpoints(endpoints=await _mine(desk, sender(request)))))


@router.post("/endpoints", status_code=201, response_model=SecretShown, openapi_extra=_of("EndpointBody"))
async def add(request: Request) -> JSONResponse:
    """Tell this URL from now on. Its secret is in this answer and in no other."""
    desk: Intake = request.app.state.intake
    bureau: Bureau = request.app.state.callbacks
    who = sender(request)
    body = await json_body(request, EndpointBody, desk.settings.api)
    bureau.check_url(body.url, param="url")
    check_events(body.events)
    async with desk.turn(who):
        told = f"{request.method} {request.url.path}"
        endpoint_id = await desk.admit(who, lambda: fingerprint(told, body.model_dump()), f"ep_{secrets.token_hex(8)}")
        known = await endpoints.find(desk.store, endpoint_id)
        if known is not None:  # the answer to the first try was lost, and the secret with it
            secret = await bureau.signing.current(endpoint_id)
            return _shown(SecretShown(secret=secret or "", endpoint=known), status=201)
        secret, pair = bureau.signing.fresh(endpoint_id)
        fresh = Endpoint(id=endpoint_id, url=body.url, tenant=who.tenant, events=body.events)
        return _shown(SecretShown(secret=secret, endpoint=await endpoints.add(desk.store, fresh, pair)), status=201)


@router.post("/endpoints/{endpoint_id}/rotate", response_model=SecretShown, openapi_extra=_of("RotationBody"))
async def rotate(request: Request, endpoint_id: str) -> JSONResponse:
    """A new secret. Both sign for a day, so that the receiver can be changed without missing anything."""
    desk: Intake = request.app.state.intake
    endpoint = await _one(desk, request, endpoint_id)
    secret = await _rotated(request, endpoint.id)
    return _shown(SecretShown(secret=secret, endpoint=await endpoints.find(desk.store, endpoint.id)))


@router.post("/endpoints/{endpoint_id}/test", response_model=Trial)
async def test(request: Request, endpoint_id: str) -> JSONResponse:
    """Send it one event that says it is a test, at once, and answer what came of it."""
    desk: Intake = request.app.state.intake
    bureau: Bureau = request.app.state.callbacks
    return JSONResponse(public(await bureau.try_out(await _one(desk, request, endpoint_id))))


@router.delete("/endpoints/{endpoint_id}", response_model=Endpoint)
async def remove(request: Request, endpoint_id: str) -> JSONResponse:
    """Tell it nothing more; what is on its way to it is given up."""
    desk: Intake = request.app.state.intake
    endpoint = await _one(desk, request, endpoint_id)
    await endpoints.remove(desk.store, endpoint.id)
    return JSONResponse(public(endpoint))


@router.post("/secret", response_model=SecretShown, openapi_extra=_of("RotationBody", required=False))
async def own_secret(request: Request) -> JSONResponse:
    """Make the submitter's own secret, or a new one: it signs for each `callback_url` that comes with a request."""
    desk: Intake = request.app.state.intake
    owner = tenant_owner(sender(request).tenant)
    secret = await _rotated(request, owner)
    pair = await endpoints.pair_of(desk.store, owner)
    return _shown(SecretShown(secret=secret, two_until_ms=(pair.two_until_ms or None) if pair else None))


def check_events(events: tuple[str, ...]) -> None:
    """Raises UsageError for an event that no endpoint is told of."""
    unknown = [each for each in events if each != EVERYTHING and each not in OF_ENDPOINTS]
    if unknown:
        hint = f"There are {', '.join(OF_ENDPOINTS)}, and {EVERYTHING} for all."
        raise UsageError(f"events: an endpoint is not told of {unknown[0][:64]}.", hint=hint, param="events")


async def _mine(desk: Intake, who: Sender) -> tuple[Endpoint, ...]:
    return tuple(each for each in await endpoints.every(desk.store) if each.tenant == who.tenant)


async def _one(desk: Intake, request: Request, endpoint_id: str) -> Endpoint:
    """One of one's own; for an admin's key anybody's."""
    who = principal(request)
    found = await endpoints.find(desk.store, endpoint_id)
    if found is None or (found.tenant != who.tenant and not (who.key and who.admin)):
        raise NotFound("There is no such endpoint of yours.", hint="`viiwork callbacks endpoint list` shows them.")
    return found


async def _rotated(request: Request, owner: str) -> str:
    """A new secret; the one that was made already where this request came before, and its answer was lost."""
    desk: Intake = request.app.state.intake
    bureau: Bureau = request.app.state.callbacks
    body = RotationBody()
    if request.headers.get("content-length", "0") != "0" or "transfer-encoding" in request.headers:
        body = await json_body(request, RotationBody, desk.settings.api)
    if await came_before(request, desk, body.model_dump()):
        current = await bureau.signing.current(owner)
        if current is not None:
            return current
    return await bureau.signing.rotate(owner, at_once=body.at_once)


def _shown(told: SecretShown, *, status: int = 200) -> JSONResponse:
    """No cache on the way may keep it."""
    return JSONResponse(public(told), status, headers={"cache-control": "no-store"})
