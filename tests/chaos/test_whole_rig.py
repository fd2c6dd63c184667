"""Eight simulated cards under `viiwork up`, two models, a budget, load: a fan fails, a card falls off, all heals."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys

import httpx
import pytest

from tests.rigging import Watts, cards_of, done_once, fed, placed, up, workers
from tests.workers import ROOT, bare_environ, eventually
from viiwork.devices.base import Device
from viiwork.fleet.plan import FLOWER_USER
from viiwork.settings import ServeEntry, Settings
from viiwork.statedir import StateDir
from viiwork.store import Store

SMALL, LARGE = "mistral-7b-int4", "llama-2-13b-int8"
CARDS, SLOTS, TOKENS, MANY = 8, 4, 480, 40
HOST_WATTS, ROOM_W = 1400.0, 1125.0
"""At the wall, and for cards: 140 W each."""


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Cards twenty times as fast as real ones, warm sixty times as soon, and lost after a second."""
    changes = {
        "queue": {"lease_ttl_s": 60.0},
        "engine": {"kind": "simulated", "slots": SLOTS, "time_scale": 0.05},
        "devices": {"spec": f"simulated:{CARDS}xRadeonVII@60", "settle_s": 1.0},
        "api": {"port": 0},
        "flower": {"enabled": True, "port": 0},
        "workers": {"readers": 0},
        "power": {"host_watts": HOST_WATTS, "control_s": 1.0, "loads_at_once": CARDS},
    }
    sections = {name: getattr(settings, name).model_copy(update=fields) for name, fields in changes.items()}
    serve = (ServeEntry(model="mistral-7b:int4", share=3), ServeEntry(model="llama-2-13b:int8", context_tokens=2048))
    return settings.model_copy(update={**sections, "serve": serve})


@pytest.mark.timeout(600)
async def test_heat_watts_and_a_lost_card_cost_no_job_and_everybody_can_see_them(
    settings: Settings, real_store: Store
) -> None:
    """The budget is kept, the hot card takes less, the plan does without the lost one and takes it back."""
    devices, watts = cards_of(settings), Watts(settings)
    with up(settings):
        before = await placed(real_store)
        group = next(name for name, model in before.items() if model == LARGE)
        alone = next(name for name, model in before.items() if model == SMALL)
        assert sum(name.count("gpu") for name in before) == CARDS
        hot, lost = (_card(devices.found(), name.split("+")[0]) for name in (alone, group))
        cool_c = _hottest(settings, hot)
        async with watts.watched(), fed(real_store, SMALL, LARGE, tokens=TOKENS, many=MANY) as jobs:

            async def warmer() -> bool:
                return _hottest(settings, hot) > cool_c + 10

            await eventually(warmer, what="cards that work are warmer than before")
            devices.set_fan(hot, turns=False)

            async def held_back() -> bool:
                card = (await workers(real_store)).get(alone)
                return bool(card and card.limit is not None and card.limit < SLOTS and _heat_in(card.throttle))

            await eventually(held_back, within_s=120, what="the card without its fan takes less")

            async def told() -> bool:
                gpus = await asyncio.to_thread(_viiwork, settings, "gpus", "--json")
                (seen,) = [row for row in map(json.loads, gpus.splitlines()) if row["id"] == hot.id]
                held_back_by = seen["held_back_by"] or ()  # null when the service took its time: it says so later
                return any(_heat_in(brake.removeprefix("throttled: ")) for brake in held_back_by)

            await eventually(told, within_s=120, what="`viiwork gpus` says so")
            devices.set_state(lost, "gone")

            async def healed() -> bool:
                names = [name for name, model in (await placed(real_store)).items() if model == LARGE]
                return bool(names) and not any(group.split("+")[0] in name.split("+") for name in names)

            await eventually(healed, within_s=120, what="the large model on other cards")

            async def shown() -> bool:
                rows = await asyncio.to_thread(_flower, settings)
                return any(
                    "simulated Radeon VII" in row["cards"] and _heat_in(row["brakes"].removeprefix("throttled: "))
                    for row in rows
                    if row["hostname"].startswith(f"{alone}@")  # Flower knows it only once it has heard a beat of it
                )

            await eventually(shown, within_s=120, what="Flower says so too")
            devices.set_fan(hot, turns=True)
            devices.set_state(lost, "ok")

            async def whole() -> bool:
                cards = sum(name.count("gpu") for name in await placed(real_store))
                held = (await workers(real_store)).get(alone)
                return cards == CARDS and held is not None and held.limit == SLOTS

            await eventually(whole, within_s=120, what="all cards at work again")
        ends = await done_once(real_store, jobs)
    assert set(ends) <= {"crashed", "given_back"}
    assert max(told.room_w or 0.0 for told in watts.told.values()) == ROOM_W
    assert watts.longest <= 2, "a card that comes back strays in two steps: its default cap, then its work"


def _heat_in(throttle: str) -> bool:
    return throttle.startswith(("warm: ", "hot: "))


def _card(found: tuple[Device, ...], name: str) -> Device:
    return next(card for card in found if f"gpu{card.index}" == name)


def _hottest(settings: Settings, card: Device) -> float:
    return max(each.celsius for each in cards_of(settings).read(card).temperatures)


def _viiwork(settings: Settings, *arguments: str) -> str:
    run = StateDir(settings.state_dir).read_run()
    assert run is not None
    known = {"VIIWORK_URL": run.api_url, "VIIWORK_FLEET_STATE_DIR": str(settings.state_dir)}
    command = [sys.executable, "-m", "viiwork.cli", *arguments, "--devices", settings.devices.spec]
    return subprocess.run(
        command, cwd=ROOT, env=bare_environ() | known, capture_output=True, text=True, check=True
    ).stdout


def _flower(settings: Settings) -> list[dict[str, str]]:
    """What its page of workers shows."""
    state = StateDir(settings.state_dir)
    run = state.read_run()
    assert run is not None and run.supervisor is not None
    address = next(child.address for child in run.supervisor.children if child.role == "flower")
    login = (FLOWER_USER, state.secret("flower.secret"))
    answer = httpx.get(f"{address}/workers", params={"json": "1"}, auth=login, timeout=60, trust_env=False)
    assert answer.status_code == httpx.codes.OK
    rows: list[dict[str, str]] = answer.json()["data"]
    return rows
