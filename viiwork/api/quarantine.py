"""`/v1/fleet/quarantine`: the workers that may take no jobs, and letting them."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from pydantic import Field

from viiwork.api.bodies import Body
from viiwork.api.dead import came_before
from viiwork.api.intake import Intake
from viiwork.api.orders import json_body
from viiwork.roster import Lifted, Quarantine, Quarantined
from viiwork.wire import public

MOST = 500
"""Workers one request may name."""

router = APIRouter(prefix="/v1/fleet/quarantine", tags=["fleet"])

Name = Annotated[str, Field(min_length=1, max_length=256)]


class SomeWorkers(Body):
    """Which workers: those named, else all that are quarantined."""

    workers: Annotated[tuple[Name, ...], Field(min_length=1, max_length=MOST)] | None = None


BODY = {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/SomeWorkers"}}}}


@router.get("", response_model=Quarantine)
async def quarantined(request: Request) -> JSONResponse:
    """The workers that may take no jobs until a person lifts that, and why."""
    desk: Intake = request.app.state.intake
    found = (await desk.store.quarantined()).items()
    return JSONResponse(public(Quarantine(workers=tuple(Quarantined(worker=name, why=why) for name, why in found))))


@router.post("/lift", response_model=Lifted, openapi_extra={"requestBody": BODY})
async def lift(request: Request) -> JSONResponse:
    """Let those named take jobs again, or all; an engine that was given up is tried once more."""
    desk: Intake = request.app.state.intake
    some = await _some(request, desk)
    again = await came_before(request, desk, some.model_dump(mode="json"))
    names = tuple(dict.fromkeys(some.workers or ()))
    lifted = await desk.store.lift_quarantine(*names)
    if again:  # they were lifted by the request whose answer was lost
        return JSONResponse(public(Lifted(lifted=names or tuple(lifted))))
    unknown = tuple(name for name in names if name not in lifted)
    return JSONResponse(public(Lifted(lifted=tuple(lifted), unknown=unknown)))


async def _some(request: Request, desk: Intake) -> SomeWorkers:
    if request.headers.get("content-length", "0") == "0" and "transfer-encoding" not in request.headers:
        return SomeWorkers()
    return await json_body(request, SomeWorkers, desk.settings.api)
