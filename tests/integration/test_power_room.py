"""`viiwork up` with simulated cards: heat and watts take slots away and give them back, and no job is lost to it."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.rigging import Watts, cards_of, done_once, fed, up, workers
from tests.workers import ROOT, bare_environ, eventually, make_job
from viiwork.jobs import Job, Lane, State
from viiwork.power.loads import READY
from viiwork.power.standing import UNWATCHED
from viiwork.powerfile import PowerFile, power_file, read_power
from viiwork.roster import WorkerCard
from viiwork.settings import ScheduleEntry, Settings
from viiwork.statedir import StateDir
from viiwork.store import Store

SLOTS = 8
TOKENS = 480
MANY = 50
WATTS, ROOM_W = 560.0, 369.0
"""At the wall, and for cards: three of four fit, at 116 W each, and one at rest."""


def simulated(settings: Settings, *, cards: int, pace: int = 20, **power: Any) -> Settings:
    """Simulated cards that answer twenty times as fast as real ones, and warm up at this pace."""
    engine = {"kind": "simulated", "model": "sim", "slots": SLOTS, "time_scale": 0.05}
    return settings.model_copy(
        update={
            "engine": settings.engine.model_copy(update=engine),
            "devices": settings.devices.model_copy(update={"spec": f"simulated:{cards}xRadeonVII@{pace}"}),
            "workers": settings.workers.model_copy(update={"readers": 0}),
            "api": settings.api.model_copy(update={"port": 0}),
            "power": settings.power.model_copy(update=power),
        }
    )


async def all_ready(store: Store, count: int) -> bool:
    return [card.engine_state in READY for card in (await workers(store)).values()].count(True) == count


async def check_done_once(store: Store, jobs: list[Job]) -> None:
    """Nothing that was given back was charged."""
    assert set(await done_once(store, jobs)) <= {"given_back"}


async def test_a_card_that_warms_up_takes_less_a_hot_one_nothing_and_a_cool_one_all_again(
    settings: Settings, real_store: Store
) -> None:
    """Full load at the default cap is warm; without its fan the card is hot within a second."""
    settings = simulated(settings, cards=2, pace=60)
    devices = cards_of(settings)
    with up(settings, until_ready=False):
        await eventually(lambda: all_ready(real_store, 2), within_s=60, what="both engines are ready")
        async with fed(real_store, "sim", tokens=TOKENS, many=MANY) as jobs:
            warmed = set()

            async def warm() -> bool:
                for name, card in (await workers(real_store)).items():
                    if 0 < (card.limit or 0) < SLOTS and card.throttle.startswith("warm: "):
                        warmed.add(name)
                return warmed == {"gpu0", "gpu1"}

            await eventually(warm, what="both have been warm and held fewer jobs")
            (first, _) = devices.found()
            devices.set_fan(first, turns=False)

            async def paused() -> bool:
                card = (await workers(real_store))["gpu0"]
                return card.limit == 0 and card.throttle.startswith("hot: junction at ")

            await eventually(paused, what="the card without its fan takes nothing")
            assert (await workers(real_store))["gpu1"].limit != 0
            devices.set_fan(first, turns=True)

            async def resumed() -> bool:
                return ((await workers(real_store))["gpu0"].limit or 0) > 0

            await eventually(resumed, what="it takes jobs again once it is cool")
        await check_done_once(real_store, jobs)

        async def cool() -> bool:
            cards = (await workers(real_store)).values()
            return [card.limit == SLOTS and not card.throttle for card in cards] == [True, True]

        await eventually(cool, what="without load both have all their slots")
        assert not power_file(settings.state_dir).exists(), "nothing is set that anybody would have to watch"


def loading(told: PowerFile, ready: Mapping[str, WorkerCard]) -> set[str]:
    """Engines that were let load, and that do not serve yet."""
    serve = {name for name, card in ready.items() if card.engine_state in READY}
    return {name for name, order in told.workers.items() if order.may_load} - serve


async def test_the_budget_holds_from_before_the_first_load_and_through_a_driver_that_forgets_its_cap(
    settings: Settings, real_store: Store
) -> None:
    """Never exceeded in two control periods in a row; engines load one after the other; the caps go back in the end.

    The fourth engine, for which there is no room, says why it is not started, and `up` does not wait for it.
    """
    settings = simulated(settings, cards=4, host_watts=WATTS, control_s=1.0)
    devices, watts = cards_of(settings), Watts(settings)
    at_once: list[set[str]] = []
    with up(settings, until_ready=False):

        async def loaded() -> bool:
            told = read_power(settings.state_dir)
            if told is not None and told.workers:  # before that it only notes what the cards had
                caps = [devices.read(card).cap_w or 0.0 for card in devices.found()]
                assert sum(caps) <= ROOM_W + 100, "in force before anybody was let load"
                at_once.append(loading(told, await workers(real_store)))
            return await all_ready(real_store, 3)

        await eventually(loaded, within_s=60, what="all that fit are ready")
        assert max(map(len, at_once)) == 1
        why = "not started: the budget leaves 369 W for cards: 1 of the engines cannot run"

        async def told_why() -> bool:
            states = [card.engine_state for card in (await workers(real_store)).values()]
            return sorted(states) == ["", "", "", why]

        await eventually(told_why, what="the fourth says why it is not started")
        async with watts.watched():
            async with fed(real_store, "sim", tokens=TOKENS, many=MANY) as jobs:

                async def busy() -> bool:
                    return bool(watts.told) and (watts.told[max(watts.told)].drawn_w or 0.0) > 300

                await eventually(busy, what="the cards draw most of what they may")
                before = max(watts.told)

                async def begun() -> bool:
                    watts.look()
                    return max(watts.told) > before

                await eventually(begun, what="a period that has just begun, and has looked at the caps")
                devices.set_cap(devices.found()[1], 0)  # as a driver that starts again does
                watts.look()
                forgotten = max(watts.told)

                async def mended() -> bool:
                    return max(watts.told) > forgotten + 4

                await eventually(mended, what="some periods more")
            await check_done_once(real_store, jobs)
        assert any(watts.over.values()), "it was exceeded by the driver's doing"
        assert watts.longest == 1
        assert max(told.drawn_w or 0.0 for told in watts.told.values()) > 0.8 * ROOM_W, "the budget is used"
    assert [devices.read(card).cap_w for card in devices.found()] == [250.0] * 4
    assert not power_file(settings.state_dir).exists()


def viiwork(*arguments: str, url: str) -> subprocess.Popen[str]:
    environ = bare_environ() | {"VIIWORK_URL": url}
    command = [sys.executable, "-m", "viiwork.cli", *arguments]
    pipe, null = subprocess.PIPE, subprocess.DEVNULL
    return subprocess.Popen(command, cwd=ROOT, env=environ, stdin=null, stdout=pipe, stderr=pipe, text=True)


async def test_a_lane_that_the_hours_close_waits_the_other_is_served_and_whoever_asks_is_told_until_when(
    settings: Settings, real_store: Store
) -> None:
    """Hours alone: on the CPU, without a card to watch."""
    now = datetime.now(UTC)
    when = f"{now - timedelta(hours=1):%H:%M}-{now + timedelta(hours=1):%H:%M}"
    until = f"{now + timedelta(hours=1):%H:%M} (UTC)"
    settings = simulated(settings, cards=1, timezone="UTC").model_copy(
        update={
            "engine": settings.engine,
            "devices": settings.devices,
            "schedule": (ScheduleEntry.model_validate({"when": when, "lanes": ["batch"]}),),
        }
    )
    with up(settings, until_ready=False):

        async def closed() -> bool:
            cards = (await workers(real_store)).values()
            return any(card.closed == (Lane.INTERACTIVE,) for card in cards)

        await eventually(closed, within_s=60, what="the lane is closed")
        person, batch = make_job(lane=Lane.INTERACTIVE), make_job(lane=Lane.BATCH)
        await real_store.submit([person, batch])

        async def served() -> bool:
            return (await real_store.job(batch.id)).state is State.SUCCEEDED

        await eventually(served, what="the batch job is done")
        assert (await real_store.job(person.id)).state in (State.WAITING, State.QUEUED)
        told = f"noop: interactive work waits until {until}: the schedule has closed that lane."
        run = StateDir(settings.state_dir).read_run()
        assert run is not None

        async def listens() -> bool:
            status = viiwork("status", url=run.api_url)
            out, _ = await asyncio.to_thread(status.communicate)
            return told in " ".join(out.split())

        await eventually(listens, what="`viiwork status` says so")
        with viiwork("ask", "Is anybody there?", url=run.api_url) as asking:
            assert asking.stderr is not None
            line = await asyncio.to_thread(asking.stderr.readline)
            asking.send_signal(signal.SIGINT)
            assert await asyncio.to_thread(asking.wait, 30) == 130
        assert line == f"{told} The question waits there; Ctrl-C cancels it.\n"


async def test_when_up_is_killed_its_workers_finish_what_they_have_and_take_nothing_until_another_up(
    settings: Settings, real_store: Store
) -> None:
    """They go on for as long as what it told last is believed; then `viiwork status` says why they stand still.

    The caps hold all the while, and the next `up` has the jobs done and gives the caps back.
    """
    settings = simulated(settings, cards=2, host_watts=600.0, control_s=1.0)
    devices = cards_of(settings)
    room_w = (600.0 - settings.power.base_watts) * settings.power.supply_efficiency
    with up(settings, until_ready=False) as running:
        await eventually(lambda: all_ready(real_store, 2), within_s=60, what="both engines are ready")
        async with fed(real_store, "sim", tokens=TOKENS, many=MANY) as jobs:
            running.kill()

            async def stands_still() -> bool:
                cards = (await workers(real_store)).values()
                unwatched = [card.limit == 0 and UNWATCHED in card.throttle for card in cards] == [True, True]
                return unwatched and not sum(q.running for q in (await real_store.fleet()).queues)

            await eventually(stands_still, within_s=60, what="nothing runs and nothing is taken")
        assert sum(devices.read(card).cap_w or 0.0 for card in devices.found()) <= room_w
        run = StateDir(settings.state_dir).read_run()
        assert run is not None
        status = viiwork("status", url=run.api_url)
        out, _ = await asyncio.to_thread(status.communicate)
        assert UNWATCHED in " ".join(out.split())
        assert sum(q.waiting + q.queued for q in (await real_store.fleet()).queues)
    with up(settings, until_ready=False):
        await check_done_once(real_store, jobs)
    assert [devices.read(card).cap_w for card in devices.found()] == [250.0] * 2
