"""The power room by the turn: simulated cards, hours, refusals, and what becomes of caps when it ends or is killed."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from viiwork.devices import Device
from viiwork.devices.simulated import SimulatedDevices
from viiwork.errors import UsageError
from viiwork.fleet.leftcaps import give_back
from viiwork.fleet.powerroom import PowerRoom
from viiwork.jobs import Lane
from viiwork.powerfile import PowerFile, power_file, read_power
from viiwork.settings import Settings, load_settings

CARDS = 4
IDS = tuple(f"simulated-{n}" for n in range(CARDS))
READY = {f"gpu{n}": "ready" for n in range(CARDS)}
NOON, NIGHT = datetime(2026, 11, 22, 12, tzinfo=UTC), datetime(2026, 11, 22, 23, tzinfo=UTC)


class Stubborn(SimulatedDevices):
    """Cards of which some refuse any cap."""

    refusing: tuple[int, ...] = ()

    def set_cap(self, device: Device, watts: float) -> None:
        if device.index in self.refusing:
            raise UsageError(f"{device.name}: no.")
        super().set_cap(device, watts)


class Keeping:
    """A power room without its thread, and what it tells."""

    def __init__(self, tmp_path: Path, *, refusing: tuple[int, ...] = (), **sections: object) -> None:
        self.now, self.now_s = NOON, 100.0
        self.state_dir = tmp_path
        self.left: frozenset[int] = frozenset()
        spec = f"simulated:{CARDS}xRadeonVII"
        settings = load_settings({"fleet": {"state_dir": str(tmp_path)}, "devices": {"spec": spec}, **sections})
        self.devices = Stubborn(f"{CARDS}xRadeonVII", tmp_path, clock=lambda: self.now_s)
        self.devices.refusing = refusing
        self.said: list[str] = []
        self.room = self.open(settings)
        self._settings = settings

    def open(self, settings: Settings) -> PowerRoom:
        return PowerRoom(
            settings,
            devices=self.devices,
            placements=lambda: {f"gpu{n}": (IDS[n],) for n in range(CARDS) if n not in self.left},
            zone=UTC,
            tell=self.said.append,
            now=lambda: self.now,
            clock=lambda: self.now_s,
        )

    def again(self) -> None:
        """Another life of it, as after a SIGKILL."""
        self.room = self.open(self._settings)
        self.room.periods.adopt()

    def turn(self, **states: str) -> PowerFile:
        """One period later."""
        self.now_s += 5.0
        if states:
            self.room.hear(states)
        self.room.periods.turn()
        told = read_power(self.state_dir)
        assert told is not None
        return told

    @property
    def caps(self) -> list[float | None]:
        return [self.devices.read(card).cap_w for card in self.devices.found()]


Make = Callable[..., Keeping]


@pytest.fixture
def keeping(tmp_path: Path) -> Make:
    return lambda **sections: Keeping(tmp_path, **sections)


def may_load(told: PowerFile) -> list[str]:
    return [name for name, order in told.workers.items() if order.may_load]


def test_caps_hold_before_the_first_engine_may_load_and_the_next_may_once_that_serves(keeping: Make) -> None:
    """900 W at the wall leave 675 W for four cards."""
    room = keeping(power={"host_watts": 900})
    told = room.turn()
    assert room.caps == [168.0] * 4
    assert may_load(told) == ["gpu0"]
    assert may_load(room.turn(gpu0="loading (3 s)", gpu1="waiting to load")) == ["gpu0"]
    assert may_load(room.turn(gpu0="ready")) == ["gpu0", "gpu1"]
    assert may_load(room.turn(gpu0="ready", gpu1="failed: no")) == ["gpu0", "gpu1", "gpu2"]
    assert (told.room_w, told.host_watts, told.period) == (675.0, 900.0, 1)
    assert room.said == ["The budget leaves 675 W for cards: their caps are lowered."]


def test_as_many_load_at_once_as_the_settings_say(keeping: Make) -> None:
    room = keeping(power={"cap_watts": 150, "loads_at_once": 3})
    assert may_load(room.turn()) == ["gpu0", "gpu1", "gpu2"]
    assert room.caps == [150.0] * 4


def test_where_caps_cannot_be_written_as_many_engines_run_as_fit(keeping: Make) -> None:
    """Two of them at 250 W each, and the others at rest; whoever refused is not asked again."""
    room = keeping(power={"host_watts": 900}, refusing=(0, 1, 2, 3))
    told = room.turn()
    assert [name for name, order in told.workers.items() if order.may_run] == ["gpu0", "gpu1"]
    assert told.workers["gpu3"].why == "the budget leaves 675 W for cards: 2 of the engines cannot run"
    assert room.said[0].startswith("The power cap of gpu0, gpu1, gpu2, gpu3 cannot be written")
    room.turn()
    assert len(room.said) == 2
    assert room.caps == [250.0] * 4


def test_a_driver_that_forgets_its_cap_gets_it_again(keeping: Make) -> None:
    room = keeping(power={"cap_watts": 150})
    room.turn()
    room.devices.set_cap(room.devices.found()[2], 0)
    room.turn()
    assert room.caps == [150.0] * 4


def test_an_engine_whose_card_was_lost_waits_for_its_turn_until_its_cap_holds(keeping: Make) -> None:
    room = keeping(power={"cap_watts": 150, "loads_at_once": 4})
    assert len(may_load(room.turn())) == 4
    room.turn(**READY)
    card = room.devices.found()[2]
    room.devices.set_state(card, "gone")
    assert may_load(room.turn(**{**READY, "gpu2": "waiting for its card, which is gone"})) == ["gpu0", "gpu1", "gpu3"]
    room.devices.set_state(card, "ok")
    room.devices.set_cap(card, 0)
    assert len(may_load(room.turn(**{**READY, "gpu2": "waiting to load"}))) == 4
    assert room.caps == [150.0] * 4


def test_what_runs_already_goes_on_when_the_budget_shrinks_and_the_rest_gives_back(keeping: Make) -> None:
    """From 22 o'clock on: 243 W for cards, which is two at the lowest cap of 100 W and two at rest."""
    night = {"when": "22:00-07:00", "host_watts": 420}
    room = keeping(power={"host_watts": 900}, schedule=[night])
    for _ in range(5):
        room.turn(**READY)
    room.now = NIGHT
    told = room.turn()
    assert [order.share for order in told.workers.values()] == [1.0, 1.0, 0.0, 0.0]
    assert (told.entry, told.until, told.room_w) == ("22:00-07:00", "2026-11-23T07:00+00:00", 243.0)
    assert room.caps == [101.0, 101.0, 100.0, 100.0]


def test_hours_alone_close_a_lane_and_touch_no_card(keeping: Make) -> None:
    room = keeping(schedule=[{"when": "22:00-07:00", "lanes": ["batch"]}])
    assert room.turn().lanes == tuple(Lane)
    room.now = NIGHT
    told = room.turn()
    assert (told.lanes, told.opens) == ((Lane.BATCH,), {Lane.INTERACTIVE: "2026-11-23T07:00+00:00"})
    assert told.until_s == room.now_s + 8 * 3600
    assert not (room.state_dir / "simulated-cards").exists()
    assert not told.workers


async def test_in_the_end_the_cards_get_back_the_caps_that_they_had(keeping: Make) -> None:
    """Those that a person had set; the others' defaults."""
    room = keeping(power={"cap_watts": 150})
    room.devices.set_cap(room.devices.found()[1], 200)
    await room.room.open()
    assert room.caps == [150.0] * 4
    assert power_file(room.state_dir).exists()
    await room.room.close()
    assert room.caps == [250.0, 200.0, 250.0, 250.0]
    assert not power_file(room.state_dir).exists()


async def test_one_that_follows_a_killed_one_gives_back_what_that_had_found(keeping: Make) -> None:
    """But for a card that somebody has capped since."""
    room = keeping(power={"cap_watts": 150})
    room.turn()
    room.devices.set_cap(room.devices.found()[3], 220)
    room.again()
    await room.room.open()
    assert room.caps == [150.0] * 4
    await room.room.close()
    assert room.caps == [250.0, 250.0, 250.0, 220.0]


def test_a_disk_that_is_full_is_told_once(keeping: Make, tmp_path: Path) -> None:
    """Workers find that nobody tells them anything; see `test_standing.py`."""
    room = keeping(power={"cap_watts": 150})
    power_file(tmp_path).mkdir()
    room.room.periods.turn()
    room.room.periods.turn()
    (told,) = room.said
    assert told.startswith("The engine workers take nothing more: power.json cannot be written (")


def test_caps_that_a_killed_one_left_are_given_back_where_none_follows_it(keeping: Make, tmp_path: Path) -> None:
    """By `viiwork down` or an `up` without a budget; but for a card that somebody has capped since."""
    room = keeping(power={"cap_watts": 150})
    room.devices.set_cap(room.devices.found()[1], 200)
    room.now_s = 0.0  # before now, by the clock of this computer
    room.turn()
    room.left = frozenset({0})  # drained: it is none of the fleet's any more
    room.turn()
    room.devices.set_cap(room.devices.found()[3], 220)
    give_back(tmp_path, tell=room.said.append)
    assert room.caps == [250.0, 200.0, 250.0, 220.0]
    assert not power_file(tmp_path).exists()
    give_back(tmp_path, tell=room.said.append)
    assert not room.said


def test_caps_that_cannot_be_given_back_now_are_kept_for_whoever_comes_next(keeping: Make, tmp_path: Path) -> None:
    room = keeping(power={"cap_watts": 150})
    room.now_s = 0.0
    room.turn()
    room.devices.refusing = (2,)
    give_back(tmp_path, tell=room.said.append, open_cards=lambda _: room.devices)
    assert room.said == ["The power caps of gpu2, which an earlier run lowered, stay: simulated Radeon VII: no."]
    room.devices.refusing = ()
    give_back(tmp_path, tell=room.said.append)
    assert room.caps == [250.0] * 4


class Killed(BaseException):
    """SIGKILL, as far as a test can have it."""


@pytest.mark.parametrize("periods", [0, 1])
def test_one_that_is_killed_while_it_writes_caps_has_written_down_what_was_there_before(
    keeping: Make, monkeypatch: pytest.MonkeyPatch, periods: int
) -> None:
    """In the first period or a later one: of the cards that have their new cap already, and of the others."""
    room = keeping(power={"cap_watts": 150}, schedule=[{"when": "22:00-07:00", "cap_watts": 120}])
    for _ in range(periods):
        room.turn()
    room.now, write = NIGHT, room.devices.set_cap

    def killed(device: Device, watts: float) -> None:
        if device.index == 2:
            raise Killed
        write(device, watts)

    monkeypatch.setattr(room.devices, "set_cap", killed)
    with pytest.raises(Killed):
        room.turn()
    assert room.caps[:2] == [120.0, 120.0]
    monkeypatch.undo()
    room.again()
    room.turn()
    assert room.caps == [120.0] * 4
    assert room.room.periods.give_back()
    assert room.caps == [250.0] * 4
