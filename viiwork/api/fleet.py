"""`/v1/fleet` and `/health`: what is up."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse

from viiwork.api.intake import Intake
from viiwork.api.priced import priced_fleet
from viiwork.api.principal import principal
from viiwork.documents.versions import making
from viiwork.errors import StoreUnavailable
from viiwork.heldback import notices
from viiwork.jobs import MODEL_PATTERN
from viiwork.power.cost import cost_of
from viiwork.roster import FleetStatus, Memory
from viiwork.runs import Runs
from viiwork.store.gauges import surveyed
from viiwork.store.runs import last_runs
from viiwork.wire import public

router = APIRouter()


@router.get("/v1/fleet", response_model=FleetStatus, tags=["fleet"])
async def fleet(request: Request) -> JSONResponse:
    """Workers, models and queues at this moment, who waits, what holds work back, and what the cards have used."""
    desk: Intake = request.app.state.intake
    who = principal(request)
    status = await surveyed(desk.store, await desk.store.fleet(), tenant="" if who.admin else who.tenant)
    status = priced_fleet(status, desk.settings.power)
    status = status.model_copy(update={"memory": await _memory(desk)})
    told = status.model_copy(update={"notices": notices(status, now=datetime.now(UTC)), "making": making()})
    return JSONResponse({**public(told), "models": list(status.models)})


async def _memory(desk: Intake) -> Memory | None:
    with suppress(StoreUnavailable):  # some servers do not tell; one that does not answer showed before
        found = await desk.store.pressure()
        return Memory(used_bytes=found.used_bytes, limit_bytes=found.limit_bytes)
    return None


@router.get("/v1/fleet/runs", response_model=Runs, tags=["fleet"])
async def runs(request: Request, model: Annotated[str, Query(pattern=MODEL_PATTERN)]) -> JSONResponse:
    """What the last 20 analyses of a model took that ended: the measure for the next one. Not told: whose they were."""
    desk: Intake = request.app.state.intake
    power = desk.settings.power
    found = await last_runs(desk.store, model)
    priced = tuple(run.model_copy(update={"cost": cost_of(run.energy_j, power)}) for run in found)
    return JSONResponse(public(Runs(runs=priced)))


@router.get("/health/live", tags=["health"])
async def live() -> dict[str, str]:
    """This process answers."""
    return {"status": "live"}


@router.get("/health/ready", tags=["health"])
async def ready(request: Request) -> dict[str, str]:
    """Redis answers and the fleet takes work; otherwise what a submit would be answered: 503, 429 or 507."""
    desk: Intake = request.app.state.intake
    await desk.store.ping()
    await desk.check_open(fresh=True)
    return {"status": "ready"}
