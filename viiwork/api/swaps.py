"""`/v1/fleet/swaps`: one model in the place of another, while the fleet goes on."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from pydantic import Field

from viiwork.api.bodies import Body, Line
from viiwork.api.dead import came_before, once_of
from viiwork.api.intake import Intake
from viiwork.api.orders import json_body
from viiwork.errors import Busy, Conflict, NotFound
from viiwork.hosts import HostCards, Swap, Swaps
from viiwork.store import Store
from viiwork.store.drains import hosts
from viiwork.store.swaps import ask_swaps, swaps
from viiwork.wire import public

PATIENCE_S = 20.0
"""Each host looks at the model's files and makes a plan before it says whether that can be."""
ASK_AGAIN_S = 0.2
LOOK = "`viiwork swap` shows how it stands."
BEFORE = "this was done already."
SILENT = "nothing is heard of this host any more; its next `viiwork up` will say what came of it."

router = APIRouter(prefix="/v1/fleet/swaps", tags=["fleet"])


class SwapBody(Body):
    """Which served model goes, by its alias, and which comes: a name or a path, as `viiwork up --model` has it."""

    model: Annotated[str, Field(min_length=1, max_length=64)]
    to: Annotated[Line, Field(min_length=1, max_length=1024)]
    take_cards: Annotated[bool, Field(strict=True)] = False
    """Whether it may take cards of other models."""
    dry_run: Annotated[bool, Field(strict=True)] = False
    """Whether the hosts only say what would be done."""


BODY = {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/SwapBody"}}}}


@router.get("", response_model=Swaps)
async def listed(request: Request) -> JSONResponse:
    """The last swap of each model and host, and how it stands."""
    desk: Intake = request.app.state.intake
    there = [each.host for each in await hosts(desk.store)]
    found = (silence_told(each, there) for each in await swaps(desk.store) if not each.dry_run)
    return JSONResponse(public(Swaps(swaps=tuple(found))))


@router.post("", response_model=Swaps, openapi_extra={"requestBody": BODY})
async def swap(request: Request) -> JSONResponse:
    """Swap a model on every host that serves it; answers once each host has begun, or an error with its reason.

    One that was done already is answered as such.
    """
    desk: Intake = request.app.state.intake
    body = await json_body(request, SwapBody, desk.settings.api)
    await came_before(request, desk, body.model_dump(mode="json"))
    asking = asking_of(request)
    there, before = await hosts(desk.store), await swaps(desk.store)
    asked = [each for each in before if each.id == asking]
    found = [] if asked or served_by(body.model, there) else done_before(body, there, before)
    if not found:
        asked = asked or await ask(desk.store, body, there, before, asking=asking)
        found = await answered(desk.store, asked)
    return JSONResponse(public(Swaps(swaps=tuple(found))))


def asking_of(request: Request) -> str:
    """The same for a request that is sent again with its Idempotency-Key."""
    return once_of(request) or secrets.token_hex(8)


async def ask(
    store: Store, body: SwapBody, there: Sequence[HostCards], before: Sequence[Swap], *, asking: str
) -> list[Swap]:
    """Each host that serves the model. Raises NotFound, and Conflict while one of them has another under way."""
    names = served_by(body.model, there)
    if not names:
        raise not_served(body.model, there)
    busy = next((each for each in before if each.host in names and each.state == "under way"), None)
    if busy is not None:
        told = f"{busy.host}: {busy.model} is swapped for {busy.to} just now."
        raise Conflict(told, hint=f"Ask again once that is over: {LOOK}", code="swap_under_way", param="model")
    wished = Swap(model=body.model, to=body.to, host="", take_cards=body.take_cards, dry_run=body.dry_run, id=asking)
    return await ask_swaps(store, [wished.model_copy(update={"host": name}) for name in names])


def served_by(model: str, there: Sequence[HostCards]) -> list[str]:
    """The hosts that serve it."""
    return [each.host for each in there if any(card.model == model for card in each.cards)]


def not_served(model: str, there: Sequence[HostCards]) -> NotFound:
    """An error that names what is served."""
    models = sorted({card.model for each in there for card in each.cards if card.model})
    hint = f"Served are {', '.join(models)}." if models else "No `viiwork up` tells of its cards just now."
    return NotFound(f"no host serves the model '{model}'.", hint=hint, param="model")


def silence_told(swap: Swap, there: Sequence[str]) -> Swap:
    """What its host had under way when it was heard of last, it may not have any more."""
    silent = swap.state == "under way" and swap.host not in there
    return swap.model_copy(update={"why": SILENT}) if silent else swap


def done_before(body: SwapBody, there: Sequence[HostCards], before: Sequence[Swap]) -> list[Swap]:
    """The same swaps of hosts that serve the new model still."""
    return [
        each.model_copy(update={"why": BEFORE})
        for each in before
        if (each.model, each.to, each.state) == (body.model, body.to, "done")
        and each.host in served_by(each.served_as, there)
    ]


async def answered(store: Store, asked: Sequence[Swap]) -> list[Swap]:
    """What the hosts said. Raises Conflict where one refused it, Busy where one says nothing."""
    clock = asyncio.get_running_loop()
    until_s = clock.time() + PATIENCE_S
    ids = {each.id for each in asked}
    while True:
        now = [each for each in await swaps(store) if each.id in ids]
        check_answers(now, len(asked))
        if all(each.state != "asked" for each in now):
            return now
        if clock.time() > until_s:
            hint = f"It begins once the host has time for it, within 10 minutes of the asking or not at all: {LOOK}"
            raise Busy("A host has not answered yet; it may be in the middle of another change.", hint=hint)
        await asyncio.sleep(ASK_AGAIN_S)


def check_answers(now: Sequence[Swap], count: int) -> None:
    """`count` were asked for. Raises Conflict where a host refused it, or somebody else asked for another."""
    if len(now) < count:
        told = "another swap of the same model was asked for meanwhile, and takes the place of this one."
        raise Conflict(told, hint=LOOK, code="swap_replaced", param="model")
    refused = next((each for each in now if each.state == "refused"), None)
    if refused is not None:
        begun = [each.host for each in now if each.state in ("under way", "done")]
        hint = f"It has begun on {', '.join(begun)}: {LOOK}" if begun else ""
        raise Conflict(f"{refused.host}: {refused.why}", hint=hint, code="swap_refused", param="to")
