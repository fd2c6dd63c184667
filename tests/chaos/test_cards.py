"""A card falls off the bus under load and comes back: no job is lost or done twice, and its worker works again."""

from __future__ import annotations

import pytest

from tests.rigging import done_once, fed
from tests.workers import Fleet, eventually, ready
from viiwork.devices import State as CardState
from viiwork.devices import open_devices
from viiwork.devices.simulated import SimulatedDevices
from viiwork.roster import AWAITS_CARD, WorkerCard
from viiwork.settings import Settings
from viiwork.store import Store

SLOTS = 8
CARDS = 4
JOBS, TOKENS = 240, 240
"""So many wait at any time: more than four quick cards do while a busy machine does something else."""
SPEC = f"simulated:{CARDS}xRadeonVII@60"
WORKERS = tuple(f"gpu{number}" for number in range(CARDS))


@pytest.fixture
def settings(settings: Settings, request: pytest.FixtureRequest) -> Settings:
    """Four simulated cards, ten times as fast as real ones; no lease runs out on a busy machine."""
    engine = {"kind": "simulated", "model": "sim", "slots": SLOTS, "time_scale": 0.1, "process": request.param}
    return settings.model_copy(
        update={
            "queue": settings.queue.model_copy(update={"lease_ttl_s": 120.0}),
            "engine": settings.engine.model_copy(update=engine),
            "devices": settings.devices.model_copy(update={"spec": SPEC}),
        }
    )


@pytest.fixture
def devices(settings: Settings) -> SimulatedDevices:
    found = open_devices(SPEC, state_dir=settings.state_dir)
    assert isinstance(found, SimulatedDevices)
    return found


async def card_of(store: Store, name: str) -> WorkerCard:
    return next(worker.card for worker in (await store.fleet()).workers if worker.card.name.startswith(f"{name}@"))


async def held(store: Store, name: str) -> int:
    workers = (await store.fleet()).workers
    return next(sum(w.in_flight.values()) for w in workers if w.card.name.startswith(f"{name}@"))


@pytest.mark.parametrize(
    ("settings", "trouble"),
    [(False, "gone"), (False, "resetting"), (True, "gone")],
    indirect=["settings"],
    ids=["gone", "resetting", "gone under an engine of its own process"],
)
async def test_a_card_that_falls_off_the_bus_under_load_costs_no_job_and_returns(
    fleet: Fleet, real_store: Store, devices: SimulatedDevices, trouble: CardState
) -> None:
    """Nor does one whose driver starts it again. The same worker lives on, and says what it waits for."""
    fleet.start(*WORKERS)
    await ready(real_store, CARDS)
    cards = devices.found()
    at_rest_w = devices.read(cards[0]).power_w or 0.0
    before = await card_of(real_store, "gpu2")

    async def warm() -> bool:
        reading = devices.read(cards[0])
        return (reading.power_w or 0.0) > at_rest_w + 50 and (reading.vram_used_bytes or 0) > 1 << 30

    async def busy() -> bool:
        return await held(real_store, "gpu2") >= SLOTS // 2

    async def away() -> bool:
        card = await card_of(real_store, "gpu2")
        return card.limit == 0 and card.engine_state == f"{AWAITS_CARD}, which is {trouble}"

    async def back() -> bool:
        card = await card_of(real_store, "gpu2")
        return card.limit != 0 and card.engine_state in ("", "ready") and card.engine_restarts == 1

    async with fed(real_store, "sim", tokens=TOKENS, many=JOBS) as jobs:
        await eventually(warm, what="a card that works draws power and holds its model")
        await eventually(busy, what="jobs on the card")
        devices.set_state(cards[2], trouble)
        await eventually(away, what="its worker says what it waits for, and takes nothing")
        devices.set_state(cards[2], "ok")
        await eventually(back, what="its worker takes jobs again")
    ends = await done_once(real_store, jobs)
    assert "crashed" in ends, "something was on the card"
    assert set(ends) <= {"crashed", "given_back"}
    assert (await card_of(real_store, "gpu2")).incarnation == before.incarnation
    assert not await real_store.quarantined()
