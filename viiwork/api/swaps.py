"""`/v1/fleet/swaps`: one model in the place of another, while the fleet goes on."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from pydantic import Field

from viiwork.api.bodies import Body
from viiwork.api.dead import came_before
from viiwork.api.intake import Intake
from viiwork.api.orders import json_body
from viiwork.errors import Busy, Conflict, NotFound
from viiwork.hosts import HostCards, Swap, Swaps
from viiwork.store import Store
from viiwork.store.drains import hosts
from viiwork.store.swaps import swaps, tell_swaps
from viiwork.wire import public

PATIENCE_S = 20.0
"""Each host looks at the model's files and makes a plan before it says whether that can be."""
ASK_AGAIN_S = 0.2

router = APIRouter(prefix="/v1/fleet/swaps", tags=["fleet"])


class SwapBody(Body):
    """Which served model goes, by its alias, and which comes: a name or a path, as `viiwork up --model` has it."""

    model: Annotated[str, Field(min_length=1, max_length=64)]
    to: Annotated[str, Field(min_length=1, max_length=1024, pattern=r"^[^\x00-\x1f\x7f]+$")]


BODY = {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/SwapBody"}}}}


@router.get("", response_model=Swaps)
async def listed(request: Request) -> JSONResponse:
    """The last swap of each model and host, and how it stands."""
    desk: Intake = request.app.state.intake
    return JSONResponse(public(Swaps(swaps=await swaps(desk.store))))


@router.post("", response_model=Swaps, openapi_extra={"requestBody": BODY})
async def swap(request: Request) -> JSONResponse:
    """Swap a model on every host that serves it; answers once each host has begun, or an error with its reason."""
    desk: Intake = request.app.state.intake
    body = await json_body(request, SwapBody, desk.settings.api)
    again = await came_before(request, desk, body.model_dump(mode="json"))
    known = [each for each in await swaps(desk.store) if (each.model, each.to) == (body.model, body.to)]
    asked = (
        known
        if again
        else [Swap(model=body.model, to=body.to, host=host) for host in served_by(body.model, await hosts(desk.store))]
    )
    if not again:
        await tell_swaps(desk.store, asked)
    return JSONResponse(public(Swaps(swaps=tuple(await answered(desk.store, asked)))))


def served_by(model: str, there: Sequence[HostCards]) -> list[str]:
    """The hosts that serve it. Raises NotFound that names what is served."""
    found = [each.host for each in there if any(card.model == model for card in each.cards)]
    if not found:
        models = sorted({card.model for each in there for card in each.cards if card.model})
        hint = f"Served are {', '.join(models)}." if models else "No `viiwork up` tells of its cards just now."
        raise NotFound(f"no host serves the model '{model}'.", hint=hint, param="model")
    return found


async def answered(store: Store, asked: Sequence[Swap]) -> list[Swap]:
    """What the hosts said. Raises Conflict where one refused it, Busy where one says nothing."""
    clock = asyncio.get_running_loop()
    until_s = clock.time() + PATIENCE_S
    ours = {(each.model, each.host): each.to for each in asked}
    while True:
        now = [each for each in await swaps(store) if ours.get((each.model, each.host)) == each.to]
        refused = next((each for each in now if each.state == "refused"), None)
        if refused is not None:
            raise Conflict(f"{refused.host}: {refused.why}", code="does_not_fit")
        if all(each.state != "asked" for each in now):
            return now
        if clock.time() > until_s:
            hint = "It begins as soon as the host has time for it: `viiwork swap` shows how it stands."
            raise Busy("A host has not answered yet; it may be in the middle of another change.", hint=hint)
        await asyncio.sleep(ASK_AGAIN_S)
