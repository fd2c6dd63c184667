"""Before every route: whether the key is for this, and whether what the path names is there for whoever asks.

What belongs to somebody else is answered as what never was: 404, in the same words.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from starlette.requests import Request

from viiwork.api.principal import principal
from viiwork.api.scopes import check_scope
from viiwork.errors import NotFound
from viiwork.store import Store
from viiwork.store.owners import batch_owner, endpoint_owner, file_owner, owner_of

OWNER = "viiwork.owner"
"""Where the ASGI scope has whose the thing is that is changed."""
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
SHOWN = re.compile(r"[A-Za-z0-9_-]{1,64}")


@dataclass(frozen=True, slots=True)
class Named:
    """A kind of thing that a path names: what people call it, and how to learn whose it is."""

    what: str
    owner: Callable[[Store, str], Awaitable[str | None]]
    found_by_owner: bool = False
    """Whether its route finds it by its owner alone (`whose`): an admin needs to know who that is to look at it."""


OWNED: Mapping[str, Named] = {
    "job_id": Named("job", owner_of),
    "analysis_id": Named("analysis", owner_of),
    "endpoint_id": Named("endpoint", endpoint_owner),
    "file_id": Named("file", file_owner, found_by_owner=True),
    "batch_id": Named("batch", batch_owner, found_by_owner=True),
}
"""By the parameter's name in the path."""
NOBODYS = frozenset({"blob_id", "key_name", "model_id"})
"""Parameters that name nothing of a tenant's; a test holds both against all paths."""


async def guard(request: Request) -> None:
    """Raises Forbidden, NotFound."""
    who = principal(request)
    check_scope(who, address_of(request))
    for parameter, any_id in request.path_params.items():
        named = OWNED.get(parameter)
        if named is None or (who.admin and request.method in SAFE and not named.found_by_owner):
            continue
        owner = await named.owner(request.app.state.intake.store, any_id)
        request.scope[OWNER] = owner or ""
        if not who.admin and owner != who.tenant:
            raise missing(named.what, any_id)


async def check_own(request: Request, any_id: str, what: str = "job") -> None:
    """Of an id that stands in a body. Raises NotFound for what is not there for whoever asks."""
    who = principal(request)
    if not who.admin and await OWNED[f"{what}_id"].owner(request.app.state.intake.store, any_id) != who.tenant:
        raise missing(what, any_id)


def whose(request: Request) -> str:
    """The tenant whose things a route looks among: one's own, for an admin's key the owner's of what the path names."""
    who = principal(request)
    owner: str = request.scope.get(OWNER, "")
    return owner or who.tenant if who.key and who.admin else who.tenant


def address_of(request: Request) -> str:
    """`GET /v1/jobs/{job_id}`."""
    return f"{request.method} {request.scope['route'].path}"


def missing(what: str, any_id: str) -> NotFound:
    """As the store says it of what never was."""
    return NotFound(f"There is no {what} {any_id}." if SHOWN.fullmatch(any_id) else f"There is no such {what}.")
