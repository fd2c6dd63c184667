"""`viiwork up` with two models on four cards, one of them on two: cards fall off under load, and the plan heals."""

from __future__ import annotations

import asyncio
from functools import partial

import pytest

from tests import rigging
from tests.rigging import cards_of, done_once, placed, up
from tests.workers import eventually
from viiwork.client import Client
from viiwork.devices.simulated import SimulatedDevices
from viiwork.errors import Conflict, NotFound
from viiwork.hosts import Drained
from viiwork.jobs import Lane
from viiwork.settings import ServeEntry, Settings
from viiwork.statedir import StateDir
from viiwork.store import Store, drains
from viiwork.store.swaps import swaps

SMALL, LARGE, OTHER = "mistral-7b-int4", "llama-2-13b-int8", "llama-2-7b-int4"
SPEC = "simulated:4xRadeonVII@60"
submit = partial(rigging.submit, tokens=120, lanes=(Lane.BATCH,))


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Cards forty times as fast as real ones, lost after a second; no lease runs out on a busy machine."""
    changes = {
        "queue": {"lease_ttl_s": 60.0},
        "engine": {"kind": "simulated", "slots": 4, "time_scale": 0.025},
        "devices": {"spec": SPEC, "settle_s": 1.0},
        "api": {"port": 0},
        "workers": {"readers": 0},
    }
    sections = {name: getattr(settings, name).model_copy(update=fields) for name, fields in changes.items()}
    serve = (ServeEntry(model="mistral-7b:int4"), ServeEntry(model="llama-2-13b:int8", context_tokens=2048))
    return settings.model_copy(update={**sections, "serve": serve})


@pytest.fixture
def devices(settings: Settings) -> SimulatedDevices:
    return cards_of(settings)


async def serving(store: Store, model: str, *, cards: int, without: str = "-") -> bool:
    names = [name for name, served in (await placed(store)).items() if served == model]
    return any(name.count("gpu") == cards and without not in name.split("+") for name in names)


async def busy(store: Store, model: str) -> bool:
    return sum(queue.running for queue in (await store.fleet()).queues if queue.model == model) > 0


async def test_a_group_that_loses_a_card_is_made_anew_of_others_and_nothing_is_lost(
    settings: Settings, real_store: Store, devices: SimulatedDevices
) -> None:
    """The small model gives the card that it can spare; once the lost one is back it has two again."""
    with up(settings):
        before = await placed(real_store)
        assert sorted(before.values()) == [LARGE, SMALL, SMALL]
        group = next(name for name, model in before.items() if model == LARGE)
        lost = group.split("+")[0]
        jobs = await submit(real_store, LARGE, 60) + await submit(real_store, SMALL, 60)
        await eventually(lambda: busy(real_store, LARGE), what="jobs on the group")
        card = next(each for each in devices.found() if f"gpu{each.index}" == lost)
        devices.set_state(card, "gone")
        await eventually(
            lambda: serving(real_store, LARGE, cards=2, without=lost),
            within_s=60,
            what="the large model on other cards",
        )
        assert list((await placed(real_store)).values()).count(SMALL) == 1
        jobs += await submit(real_store, LARGE, 20) + await submit(real_store, SMALL, 20)
        devices.set_state(card, "ok")

        async def whole() -> bool:
            return sorted((await placed(real_store)).values()) == [LARGE, SMALL, SMALL]

        await eventually(whole, within_s=60, what="the lost card in use again")
        await done_once(real_store, jobs)
        assert not await real_store.quarantined()


async def test_a_card_that_is_drained_under_load_stays_out_over_a_restart_and_comes_back(
    settings: Settings, real_store: Store
) -> None:
    """Nothing is lost by it, and nothing done twice."""
    with up(settings):
        before = await placed(real_store)
        group = next(name for name, model in before.items() if model == LARGE)
        (host,) = await drains.hosts(real_store)
        drained = f"{group.split('+')[1]}@{host.host}"
        jobs = await submit(real_store, LARGE, 40) + await submit(real_store, SMALL, 60)
        await eventually(lambda: busy(real_store, LARGE), what="jobs on the group")
        await drains.drain(real_store, [Drained(worker=drained, reason="fan")])
        without = drained.partition("@")[0]
        await eventually(
            lambda: serving(real_store, LARGE, cards=2, without=without), within_s=60, what="the large model elsewhere"
        )
        assert not [name for name in await placed(real_store) if without in name.split("+")]
        (kept,) = await drains.drained(real_store)
        assert kept.card.startswith("simulated-"), "it is known by who it is"
    assert not await drains.hosts(real_store)
    with up(settings):
        again = await placed(real_store)
        assert sorted(again.values()) == [LARGE, SMALL]
        assert not [name for name in again if without in name.split("+")]
        jobs += await submit(real_store, SMALL, 60)
        assert await drains.undrain(real_store, [drained]) == [drained]

        async def whole() -> bool:
            return sorted((await placed(real_store)).values()) == [LARGE, SMALL, SMALL]

        await eventually(whole, within_s=60, what="the card in the plan again")
        await done_once(real_store, jobs)


async def test_a_model_is_swapped_one_placement_after_the_other_and_stays_so_over_a_restart(
    settings: Settings, real_store: Store
) -> None:
    """The other model is served all the while; one that does not fit is refused with the plan's reason."""
    with up(settings):
        jobs = await submit(real_store, LARGE, 60) + await submit(real_store, SMALL, 10)
        run = StateDir(settings.state_dir).read_run()
        assert run is not None
        with Client(run.api_url) as client:
            with pytest.raises(Conflict, match=r"llama-2-70b does not fit: needs .* Nothing was changed"):
                await asyncio.to_thread(client.swap, SMALL, to="llama-2-70b")
            with pytest.raises(NotFound, match=rf"Served are {LARGE}, {SMALL}"):
                await asyncio.to_thread(client.swap, "nobody", to="llama-2-7b:int4")
            await done_once(real_store, jobs)
            jobs = await submit(real_store, LARGE, 60)
            (begun,) = await asyncio.to_thread(client.swap, SMALL, to="llama-2-7b:int4")
            assert begun.state in ("under way", "done")
            both = False

            async def over() -> bool:
                nonlocal both
                models = set((await placed(real_store)).values())
                assert LARGE in models
                both = both or {SMALL, OTHER} <= models
                return client.swaps()[-1].state == "done"

            await eventually(over, within_s=60, what="the swap is done")
        assert both, "one of them was served still while the other was loaded"
        assert sorted((await placed(real_store)).values()) == [LARGE, OTHER, OTHER]
        jobs += await submit(real_store, OTHER, 20)
        await done_once(real_store, jobs)
    with up(settings):
        assert sorted((await placed(real_store)).values()) == [LARGE, OTHER, OTHER]


async def test_a_swap_whose_fleet_is_killed_in_the_middle_has_failed_and_the_old_model_is_served(
    settings: Settings, real_store: Store
) -> None:
    """And the next `up` says so."""
    devices = settings.devices.model_copy(update={"spec": "simulated:2xRadeonVII@60"})
    engine = settings.engine.model_copy(update={"time_scale": 0.25})  # the swap takes longer than to kill its fleet
    settings = settings.model_copy(update={"serve": settings.serve[:1], "devices": devices, "engine": engine})
    with up(settings) as running:
        run = StateDir(settings.state_dir).read_run()
        assert run is not None
        with Client(run.api_url) as client:
            (begun,) = await asyncio.to_thread(client.swap, SMALL, to="llama-2-7b:int4")
        assert begun.state == "under way"
        running.kill()
        await asyncio.to_thread(running.wait)
    with up(settings):
        assert sorted((await placed(real_store)).values()) == [SMALL, SMALL]
        (left,) = await swaps(real_store)
    assert (left.state, "ended before it was done" in left.why) == ("failed", True)
    assert "was not swapped for llama-2-7b:int4" in (settings.state_dir / "up.err").read_text()
