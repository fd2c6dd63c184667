"""A swap on real processes: each begins once the last one is ready, and all goes back where one cannot be started;
drains and other swaps meanwhile, and what an end in the middle leaves.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from viiwork.cli.served import with_models
from viiwork.fleet.berths import Berth
from viiwork.fleet.cards import settle_cards
from viiwork.fleet.child import Child, ChildState
from viiwork.fleet.crew import Crew
from viiwork.fleet.hostboard import HostBoard
from viiwork.fleet.mending import Change, Mender
from viiwork.fleet.plan import ProcessSpec, Role
from viiwork.fleet.posting import post
from viiwork.fleet.roll import Roll
from viiwork.fleet.settling import Settling
from viiwork.fleet.swapdesk import SwapDesk
from viiwork.fleet.swapped import read_swaps, write_swaps
from viiwork.fleet.tending import Tending
from viiwork.hosts import Drained, Swap
from viiwork.settings import Settings, load_settings
from viiwork.store import Store, drains
from viiwork.store.swaps import ask_swaps, swaps, tell_swaps

SMALL, OTHER = "mistral-7b-int4", "llama-2-7b-int4"
ASKED = Swap(model=SMALL, to="llama-2-7b:int4", host="box", id="1")
STAYS, ENDS = "import time; time.sleep(600)", "raise SystemExit(2)"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    devices = {"spec": "simulated:2xRadeonVII"}
    given = {"fleet": {"state_dir": tmp_path}, "devices": devices, "engine": {"kind": "simulated"}}
    return settle_cards(with_models(load_settings(given), ["mistral-7b:int4"]))


async def nothing(child: Child, pid: int, returncode: int) -> None:
    """Nobody minds an exit."""


@pytest.fixture
async def crew(tmp_path: Path) -> AsyncIterator[Crew]:
    made = Crew(logs=tmp_path, on_exit=nothing, hurry=asyncio.Event())
    yield made
    await made.end_all()


def tending(
    settings: Settings, crew: Crew, store: Store, *, bad: str = "", held: str = "", said: list[str] | None = None
) -> Tending:
    """The worker of the model `bad` cannot be started, that of the name `held` gets no watts; all others are ready."""

    def spec_of(berth: Berth) -> ProcessSpec:
        code = ENDS if berth.engine.alias == bad else STAYS
        return ProcessSpec(berth.name, Role.ENGINE, (sys.executable, "-c", code, berth.engine.alias or ""))

    said = [] if said is None else said
    posting = post(settings)
    known = {card.id: card for card in posting.cards}
    return Tending(
        Mender(settings, posting),
        crew,
        board=HostBoard(store, host="box"),
        host="box",
        desk=SwapDesk(settings, store, host="box", tell=said.append),
        trouble_of=lambda child: "",
        is_held=lambda child: child.spec.name == held,
        watch=None,
        settling=Settling(known, settle_s=1),
        spec_of=spec_of,
        tell=said.append,
    )


async def begun(settings: Settings, crew: Crew, store: Store, **options: Any) -> Tending:
    """With the first plan's workers under way."""
    made = tending(settings, crew, store, **options)
    crew.begin(made._spec_of(berth) for berth in await made.prepare())
    return made


async def ready_at_once(crew: Crew, *, held: str = "") -> None:
    """As the supervisor's own look does."""
    while True:
        for child in crew.children:
            runs = child.state is ChildState.STARTING and child.pid and child.spec.argv[2] == STAYS
            if runs and child.spec.name != held:
                child.state = ChildState.READY
        await asyncio.sleep(0.02)


@pytest.mark.parametrize(("bad", "state", "left"), [("", "done", OTHER), (OTHER, "failed", SMALL)])
async def test_a_swap_is_done_whole_or_not_at_all(
    settings: Settings, crew: Crew, fake_store: Store, bad: str, state: str, left: str
) -> None:
    """And only what is done is kept for the next start."""
    made = await begun(settings, crew, fake_store, bad=bad)
    looking = asyncio.create_task(ready_at_once(crew))
    await ask_swaps(fake_store, [ASKED])
    async with asyncio.timeout(60):
        await made.turn()
    looking.cancel()
    (swap,) = await swaps(fake_store)
    assert swap.state == state
    assert [child.spec.argv[3] for child in crew.children] == [left, left]
    assert sorted(made.placements()) == ["gpu0", "gpu1"]
    assert read_swaps(settings.state_dir) == ({} if bad else {SMALL: "llama-2-7b:int4"})


async def test_a_swap_does_not_wait_for_a_worker_that_gets_no_watts(
    settings: Settings, crew: Crew, fake_store: Store
) -> None:
    """That may take days, and until a swap is over the plan heals nothing."""
    made = await begun(settings, crew, fake_store, held="gpu0")
    looking = asyncio.create_task(ready_at_once(crew, held="gpu0"))
    await ask_swaps(fake_store, [ASKED])
    async with asyncio.timeout(60):
        await made.turn()
    looking.cancel()
    (swap,) = await swaps(fake_store)
    assert swap.state == "done"
    assert [child.spec.argv[3] for child in crew.children] == [OTHER, OTHER]


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not true():
            await asyncio.sleep(0.02)


def running(crew: Crew) -> dict[str, str]:
    return {child.spec.name: child.spec.argv[3] for child in crew.children if not child.stopping}


@asynccontextmanager
async def turning(made: Tending, crew: Crew, *, slow: str = "") -> AsyncIterator[asyncio.Task[None]]:
    """A turn under way in which the worker `slow` never gets ready; it is cut short in the end."""
    looking = asyncio.create_task(ready_at_once(crew, held=slow))
    turn = asyncio.create_task(made.turn())
    yield turn
    for task in (looking, turn):
        task.cancel()
    await asyncio.wait((looking, turn))


async def test_a_drain_is_heeded_while_a_swap_is_under_way(settings: Settings, crew: Crew, fake_store: Store) -> None:
    """By the worker that loads just now; the swap goes on with what is left."""
    said: list[str] = []
    made = await begun(settings, crew, fake_store, said=said)
    await ask_swaps(fake_store, [ASKED])
    async with turning(made, crew, slow="gpu0") as turn:
        await until(lambda: running(crew).get("gpu0") == OTHER)
        await drains.drain(fake_store, [Drained(worker="gpu0@box", reason="fan")])
        await made.heed()
        await until(lambda: "gpu0" not in running(crew))
        async with asyncio.timeout(60):
            await turn
    (swap,) = await swaps(fake_store)
    assert (swap.state, running(crew)) == ("done", {"gpu1": OTHER})
    assert "a card of gpu0 is drained: it finishes what it has, and takes nothing more." in said
    await drains.undrain(fake_store, ["gpu0@box"])
    await made.turn()
    assert running(crew) == {"gpu0": OTHER, "gpu1": OTHER}


async def test_a_swap_of_which_all_cards_are_drained_has_failed(
    settings: Settings, crew: Crew, fake_store: Store
) -> None:
    """The new model was never seen to work; the old one comes back with its cards."""
    made = await begun(settings, crew, fake_store)
    await ask_swaps(fake_store, [ASKED])
    async with turning(made, crew, slow="gpu0") as turn:
        await until(lambda: running(crew).get("gpu0") == OTHER)
        await drains.drain(fake_store, [Drained(worker="gpu0@box"), Drained(worker="gpu1@box")])
        await made.heed()
        async with asyncio.timeout(60):
            await turn
    (swap,) = await swaps(fake_store)
    assert (swap.state, "drained meanwhile" in swap.why, running(crew)) == ("failed", True, {})
    await drains.undrain(fake_store, ["gpu0@box", "gpu1@box"])
    await made.turn()
    assert running(crew) == {"gpu0": SMALL, "gpu1": SMALL}


async def test_a_drain_that_is_taken_back_at_once_leaves_nobody_out(
    settings: Settings, crew: Crew, fake_store: Store
) -> None:
    """Before the plan has heard of it."""
    made = await begun(settings, crew, fake_store)
    await drains.drain(fake_store, [Drained(worker="gpu1@box")])
    await made.heed()
    await until(lambda: "gpu1" not in running(crew))
    await drains.undrain(fake_store, ["gpu1@box"])
    await made.turn()
    assert running(crew) == {"gpu0": SMALL, "gpu1": SMALL}


async def test_whoever_asks_while_a_swap_is_under_way_is_told_so_at_once(
    settings: Settings, crew: Crew, fake_store: Store
) -> None:
    made = await begun(settings, crew, fake_store)
    await ask_swaps(fake_store, [ASKED])
    async with turning(made, crew, slow="gpu0"):
        await until(lambda: running(crew).get("gpu0") == OTHER)
        await ask_swaps(fake_store, [ASKED.model_copy(update={"model": "another", "id": "2"})])
        await made.heed()
        states = {each.id: each.state for each in await swaps(fake_store)}
    assert states == {"1": "under way", "2": "refused"}


@pytest.mark.parametrize("kept", [False, True])
async def test_what_an_earlier_life_had_begun_is_done_only_if_it_was_kept(
    settings: Settings, crew: Crew, fake_store: Store, kept: bool
) -> None:
    said: list[str] = []
    await tell_swaps(fake_store, [ASKED.model_copy(update={"state": "under way"})])
    if kept:
        write_swaps(settings.state_dir, {SMALL: "llama-2-7b:int4"})
    await tending(settings, crew, fake_store, said=said).prepare()
    (swap,) = await swaps(fake_store)
    assert swap.state == ("done" if kept else "failed")
    assert any("ended before it was done" in text for text in said) is not kept


async def test_an_engine_that_never_gets_ready_ends_the_swap(settings: Settings, crew: Crew, fake_store: Store) -> None:
    """A limit of 15 minutes, here of half a second."""
    made = tending(settings, crew, fake_store)
    berths = await made.prepare()
    crew.begin(made._spec_of(berth) for berth in berths)
    new = [replace(berth, engine=berth.engine.model_copy(update={"alias": OTHER})) for berth in berths]
    roll = Roll(
        crew,
        begin=made._begin,
        trouble_of=lambda child: "",
        is_held=lambda child: False,
        is_out=lambda berth: False,
        limit_s=0.5,
    )
    failed = await roll.carry_out(Change(ended=berths, started=tuple(new)))
    assert failed == "gpu0 was not ready within 0.5 s."
    assert running(crew) == {"gpu0": SMALL, "gpu1": SMALL}


async def test_a_defect_in_the_middle_leaves_no_swap_under_way(
    settings: Settings, crew: Crew, fake_store: Store
) -> None:
    """Every other swap would be refused until the next start."""

    def broken(berth: Berth) -> ProcessSpec:
        raise LookupError(berth.name)

    made = await begun(settings, crew, fake_store)
    made._spec_of = broken
    await ask_swaps(fake_store, [ASKED])
    with pytest.raises(LookupError):
        await made.turn()
    (swap,) = await swaps(fake_store)
    assert (swap.state, "LookupError" in swap.why) == ("failed", True)
