"""`/v1/fleet/drains`: cards that take nothing more until a person takes that back, and their reasons."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Annotated

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from pydantic import Field

from viiwork.api.bodies import Body, Line
from viiwork.api.dead import came_before
from viiwork.api.intake import Intake
from viiwork.api.orders import json_body
from viiwork.errors import NotFound, UsageError
from viiwork.hosts import Drained, Drains, HostCards, Undrained
from viiwork.store import drains
from viiwork.wire import public

MOST = 100
"""Cards one request may name."""

router = APIRouter(prefix="/v1/fleet/drains", tags=["fleet"])

Name = Annotated[str, Field(min_length=1, max_length=256)]


class SomeCards(Body):
    """Which cards, `gpu2` or `gpu2@host`; several of one worker as `gpu2+gpu3`."""

    workers: Annotated[tuple[Name, ...], Field(min_length=1, max_length=MOST)]


class DrainBody(SomeCards):
    """Which cards, and why."""

    reason: Annotated[Line, Field(max_length=200)] = ""


DRAIN = {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/DrainBody"}}}}
UNDRAIN = {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/SomeCards"}}}}


@router.get("", response_model=Drains)
async def drained(request: Request) -> JSONResponse:
    """The cards that are left out until a person takes that back."""
    desk: Intake = request.app.state.intake
    return JSONResponse(public(Drains(drained=await drains.drained(desk.store))))


@router.post("", response_model=Drains, openapi_extra={"requestBody": DRAIN})
async def drain(request: Request) -> JSONResponse:
    """Let the workers of these cards finish what they have and end; the cards are left out of the plan, also after the
    next start of the fleet. Answers all that are drained.
    """
    desk: Intake = request.app.state.intake
    body = await json_body(request, DrainBody, desk.settings.api)
    await came_before(request, desk, body.model_dump(mode="json"))  # done twice it is the same
    names = known_names(body.workers, await drains.hosts(desk.store))
    identity = {each.worker: each.card for each in await drains.drained(desk.store)}
    cards = [Drained(worker=name, reason=body.reason, card=identity.get(name, "")) for name in names]
    await drains.drain(desk.store, cards)
    return JSONResponse(public(Drains(drained=await drains.drained(desk.store))))


@router.post("/lift", response_model=Undrained, openapi_extra={"requestBody": UNDRAIN})
async def undrain(request: Request) -> JSONResponse:
    """Have these cards in the plan again."""
    desk: Intake = request.app.state.intake
    body = await json_body(request, SomeCards, desk.settings.api)
    again = await came_before(request, desk, body.model_dump(mode="json"))
    there = [each.worker for each in await drains.drained(desk.store)]
    names = [full for name in body.workers for full in drained_names(name, there)]
    undrained = names if again else await drains.undrain(desk.store, names)
    unknown = () if again else tuple(name for name in names if name not in undrained)
    return JSONResponse(public(Undrained(undrained=tuple(undrained), unknown=unknown)))


def known_names(written: Iterable[str], hosts: Sequence[HostCards]) -> list[str]:
    """Each card by its full name. Raises NotFound for one that no host has, UsageError where several have it."""
    there = [f"{card.name}@{each.host}" for each in hosts for card in each.cards]
    found = [_known(full, there) for name in written for full in parted(name)]
    return list(dict.fromkeys(found))


def drained_names(name: str, there: Sequence[str]) -> list[str]:
    """The same of those that are drained; one that is not stays as it is written."""
    return [_one(each, there) or each for each in parted(name)]


def parted(name: str) -> list[str]:
    """`gpu2+gpu3@host` is `gpu2@host` and `gpu3@host`."""
    cards, at, host = name.partition("@")
    return [f"{card}{at}{host}" for card in cards.split("+")]


def _known(name: str, there: Sequence[str]) -> str:
    found = _one(name, there)
    if not found:
        hint = f"There are {', '.join(there[:16])}." if there else "No `viiwork up` tells of its cards just now."
        raise NotFound(f"there is no card '{name}'.", hint=hint, param="workers")
    return found


def _one(name: str, there: Sequence[str]) -> str:
    """Empty where there is none. Raises UsageError."""
    if "@" in name:
        return name if name in there else ""
    found = [each for each in there if each.partition("@")[0] == name]
    if len(found) > 1:
        raise UsageError(f"several hosts have a {name}.", hint=f"Say which: {', '.join(found)}.", param="workers")
    return found[0] if found else ""
