"""`/v1/fleet/hold`: workers that take fewer jobs for a while, by a lease that is over by itself."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from pydantic import Field

from viiwork.api.bodies import Body
from viiwork.api.intake import Intake
from viiwork.api.orders import json_body
from viiwork.roster import Held
from viiwork.wire import public

MOST = 500
"""Workers one request may name."""
LONGEST_S = 60.0
"""Whoever holds workers says so again and again: when it dies, they take jobs within a minute."""

router = APIRouter(prefix="/v1/fleet/hold", tags=["fleet"])

Owner = Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{8,64}$")]
Name = Annotated[str, Field(min_length=1, max_length=256)]
AtMost = Annotated[int, Field(strict=True, ge=0, le=100_000)]


class HoldBody(Body):
    """Who holds which workers for how long, and why. `at_most` is how many jobs each may have; 0 is none."""

    owner: Owner
    why: Annotated[str, Field(min_length=1, max_length=256)]
    for_s: Annotated[float, Field(strict=True, gt=0, le=LONGEST_S)]
    at_most: Annotated[dict[Name, AtMost], Field(max_length=MOST)] = Field(default_factory=dict)


class LiftBody(Body):
    """Whose hold is over."""

    owner: Owner


def _of(body: str) -> dict[str, Any]:
    return {"requestBody": {"content": {"application/json": {"schema": {"$ref": f"#/components/schemas/{body}"}}}}}


@router.post("", response_model=Held, openapi_extra=_of("HoldBody"))
async def hold(request: Request) -> JSONResponse:
    """Hold workers, or go on holding them: what the same owner said before is replaced, and the time begins anew."""
    desk: Intake = request.app.state.intake
    body = await json_body(request, HoldBody, desk.settings.api)
    await desk.store.hold(body.owner, body.at_most, why=body.why, for_s=body.for_s)
    return JSONResponse(public(Held(for_s=body.for_s, at_most=body.at_most)))


@router.post("/lift", response_model=Held, openapi_extra=_of("LiftBody"))
async def lift(request: Request) -> JSONResponse:
    """Let all workers take jobs as before; with nobody holding any it changes nothing."""
    desk: Intake = request.app.state.intake
    body = await json_body(request, LiftBody, desk.settings.api)
    await desk.store.lift_hold(body.owner)
    return JSONResponse(public(Held()))
