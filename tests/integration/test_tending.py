"""A swap on real processes: each begins once the last one is ready, and all goes back where one cannot be started."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from viiwork.cli.served import with_models
from viiwork.fleet.berths import Berth
from viiwork.fleet.cards import settle_cards
from viiwork.fleet.child import Child, ChildState
from viiwork.fleet.crew import Crew
from viiwork.fleet.hostboard import HostBoard
from viiwork.fleet.mending import Mender
from viiwork.fleet.plan import ProcessSpec, Role
from viiwork.fleet.posting import post
from viiwork.fleet.settling import Settling
from viiwork.fleet.swapdesk import SwapDesk
from viiwork.fleet.tending import Tending
from viiwork.hosts import Swap
from viiwork.settings import Settings, load_settings
from viiwork.store import Store
from viiwork.store.swaps import swaps, tell_swaps

SMALL, OTHER = "mistral-7b-int4", "llama-2-7b-int4"
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


def tending(settings: Settings, crew: Crew, store: Store, *, bad: str = "", held: str = "") -> Tending:
    """The worker of the model `bad` cannot be started, that of the name `held` gets no watts; all others are ready."""

    def spec_of(berth: Berth) -> ProcessSpec:
        code = ENDS if berth.engine.alias == bad else STAYS
        return ProcessSpec(berth.name, Role.ENGINE, (sys.executable, "-c", code, berth.engine.alias or ""))

    posting = post(settings)
    known = {card.id: card for card in posting.cards}
    return Tending(
        Mender(settings, posting),
        crew,
        board=HostBoard(store, host="box"),
        host="box",
        desk=SwapDesk(settings, store, host="box"),
        trouble_of=lambda child: "",
        is_held=lambda child: child.spec.name == held,
        watch=None,
        settling=Settling(known, settle_s=1),
        spec_of=spec_of,
        tell=lambda text: None,
    )


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
    made = tending(settings, crew, fake_store, bad=bad)
    crew.begin(made._spec_of(berth) for berth in await made.prepare())
    looking = asyncio.create_task(ready_at_once(crew))
    await tell_swaps(fake_store, [Swap(model=SMALL, to="llama-2-7b:int4", host="box")])
    async with asyncio.timeout(30):
        await made.turn()
    looking.cancel()
    (swap,) = await swaps(fake_store)
    assert swap.state == state
    assert [child.spec.argv[3] for child in crew.children] == [left, left]
    assert sorted(made.placements()) == ["gpu0", "gpu1"]
    assert (settings.state_dir / "swaps.json").read_text().strip() == (
        "{}" if bad else f'{{\n "{SMALL}": "llama-2-7b:int4"\n}}'
    )


async def test_a_swap_does_not_wait_for_a_worker_that_gets_no_watts(
    settings: Settings, crew: Crew, fake_store: Store
) -> None:
    """That may take days, and until a swap is over no drain is heard."""
    made = tending(settings, crew, fake_store, held="gpu0")
    crew.begin(made._spec_of(berth) for berth in await made.prepare())
    looking = asyncio.create_task(ready_at_once(crew, held="gpu0"))
    await tell_swaps(fake_store, [Swap(model=SMALL, to="llama-2-7b:int4", host="box")])
    async with asyncio.timeout(30):
        await made.turn()
    looking.cancel()
    (swap,) = await swaps(fake_store)
    assert swap.state == "done"
    assert [child.spec.argv[3] for child in crew.children] == [OTHER, OTHER]
