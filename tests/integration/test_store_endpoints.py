"""How many endpoints there may be, however many are asked for at the same moment."""

from __future__ import annotations

import asyncio

import pytest

from viiwork.deliveries import Endpoint
from viiwork.errors import Conflict
from viiwork.store import Store, endpoints
from viiwork.store.endpoints import MOST_OF_ALL, MOST_OF_ONE, SealedPair


async def add(store: Store, number: int, *, tenant: str = "anna", url: str = "") -> str:
    """The code of the refusal, empty where there is none."""
    given = Endpoint(
        id=f"ep_{tenant}{number}", url=url or f"https://r.example/{number}", tenant=tenant, events=("*", "a")
    )
    try:
        made = await endpoints.add(store, given, SealedPair("sealed"))
    except Conflict as error:
        return error.code
    assert (made.id, made.url, made.tenant, made.events) == (given.id, given.url, tenant, given.events)
    assert made.created_ms > 0
    assert await endpoints.pair_of(store, made.id) == SealedPair("sealed")
    return ""


async def test_a_submitter_has_no_more_than_it_may_have(real_store: Store) -> None:
    """All are asked for at once; who comes again for one that is there has it."""
    said = await asyncio.gather(*(add(real_store, number) for number in range(MOST_OF_ONE + 10)))
    assert sorted(said) == [""] * MOST_OF_ONE + ["too_many"] * 10
    there = await endpoints.every(real_store)
    assert len(there) == MOST_OF_ONE
    assert await add(real_store, int(there[0].id.removeprefix("ep_anna"))) == ""
    assert await add(real_store, 0, tenant="bert") == ""


async def test_a_url_is_told_once(real_store: Store) -> None:
    """Of one submitter: another's endpoint says nothing."""
    said = await asyncio.gather(*(add(real_store, number, url="https://r.example/") for number in range(5)))
    assert sorted(said) == ["", "exists", "exists", "exists", "exists"]
    assert await add(real_store, 0, tenant="bert", url="https://r.example/") == ""


async def test_all_have_no_more_than_there_may_be(real_store: Store) -> None:
    for tenant in range(MOST_OF_ALL // MOST_OF_ONE):
        await asyncio.gather(*(add(real_store, number, tenant=f"t{tenant}") for number in range(MOST_OF_ONE)))
    with pytest.raises(Conflict, match="200 in all"):
        given = Endpoint(id="ep_more", url="https://r.example/", tenant="anna", events=("*",))
        await endpoints.add(real_store, given, SealedPair("sealed"))
