"""Questions that are asked in one moment share a round trip, and nobody gets another's answer."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from viiwork.errors import StoreUnavailable
from viiwork.settings import load_settings
from viiwork.store import Store, embedded
from viiwork.store.gathering import Gathering
from viiwork.store.opening import make_store


async def test_each_has_its_own_answers(store: Store) -> None:
    """However many ask, and however much each."""
    for number in range(50):
        await store.client.set(f"{store.prefix}{number}", str(number))
    asker = Gathering(store)
    asked = [[("GET", f"{store.prefix}{number}")] * (number % 3 + 1) for number in range(50)]
    answers = await asyncio.gather(*(asker.read(commands) for commands in asked))
    assert answers == [[str(number)] * (number % 3 + 1) for number in range(50)]


async def test_they_share_one_connection(lone_store: Store) -> None:
    """Two hundred at once open one more at most."""
    before = len(await lone_store.client.client_list())
    asker = Gathering(lone_store)
    await asyncio.gather(*(asker.read([("PING",)]) for _ in range(200)))
    assert len(await lone_store.client.client_list()) <= before + 1


async def test_a_question_that_is_refused_is_refused_to_whoever_asked_it(real_store: Store) -> None:
    """The others of the same trip have their answers."""
    await real_store.client.set(f"{real_store.prefix}text", "x")
    asker = Gathering(real_store)
    wrong = asyncio.create_task(asker.read([("LLEN", f"{real_store.prefix}text")]))
    right = asyncio.create_task(asker.read([("GET", f"{real_store.prefix}text")]))
    with pytest.raises(StoreUnavailable):
        await wrong
    assert await right == ["x"]


async def test_one_who_gives_up_takes_nothing_from_the_others(real_store: Store) -> None:
    """Its answer is thrown away."""
    asker = Gathering(real_store)
    gone = asyncio.create_task(asker.read([("PING",)]))
    stays = asyncio.create_task(asker.read([("ECHO", "here")]))
    await asyncio.sleep(0)
    gone.cancel()
    assert await stays == ["here"]
    assert (await asyncio.gather(gone, return_exceptions=True))[0].__class__ is asyncio.CancelledError


async def test_while_redis_is_away_all_are_told_and_then_it_goes_on(tmp_path: Path) -> None:
    """StoreUnavailable for each, and no more."""
    settings = load_settings({"fleet": {"name": "away", "state_dir": str(tmp_path)}})
    server = embedded.start(settings)
    store = make_store(settings, server.url)
    asker = Gathering(store)
    try:
        assert await asker.read([("ECHO", "one")]) == ["one"]
        server.stop()
        told = await asyncio.gather(*(asker.read([("PING",)]) for _ in range(3)), return_exceptions=True)
        assert all(isinstance(error, StoreUnavailable) for error in told)
        server = embedded.start(settings)
        assert await asker.read([("ECHO", "two")]) == ["two"]
    finally:
        await store.close()
        server.stop()


async def test_a_store_that_is_not_there_is_one_error(tmp_path: Path) -> None:
    """From the first question on."""
    store = make_store(load_settings({"fleet": {"state_dir": str(tmp_path)}}), f"unix://{tmp_path}/none.sock")
    with pytest.raises(StoreUnavailable):
        await Gathering(store).read([("PING",)])
    await store.close()
