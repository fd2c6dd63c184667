"""Cards that are not there: how they are named, how they warm up, and that all processes see the same ones."""

from __future__ import annotations

import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

from viiwork.devices import Device, Reading, open_devices
from viiwork.devices.kinds import KINDS, card_kinds
from viiwork.devices.simulated import FOLDER, SimulatedDevices
from viiwork.devices.thermal import HOLDS_S, TAU_S, settled
from viiwork.errors import UsageError

GIB = 1024**3
RADEON_VII = card_kinds("RadeonVII")[0]


class Clock:
    """Seconds of the host."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def rig(tmp_path: Path, cards: str = "2xRadeonVII") -> tuple[SimulatedDevices, Device, Clock]:
    clock = Clock()
    devices = SimulatedDevices(cards, tmp_path, clock=clock)
    return devices, devices.found()[0], clock


def work(devices: SimulatedDevices, device: Device, clock: Clock, *, seconds: int, load: float = 1.0) -> None:
    """A worker that says its load once a second."""
    for _ in range(seconds):
        devices.put_load(device, load, vram_used_bytes=14 * GIB)
        clock.now_s += 1.0


def junction(reading: Reading) -> float:
    return next(one.celsius for one in reading.temperatures if one.label == "junction")


class TestNames:
    def test_a_list_may_mix_kinds(self) -> None:
        """An MI250X shows as two; capitals do not matter; one card needs no count."""
        assert [kind.key for kind in card_kinds("2xradeonvii+MI50-32GB+1xMI250X")] == [
            *("RadeonVII", "RadeonVII", "MI50-32GB", "MI250X", "MI250X")
        ]

    @pytest.mark.parametrize(
        ("written", "named", "helped"),
        [
            ("4xRadeonVIII", "'RadeonVIII'", "RadeonVII, MI50"),
            ("4xRadeonVII+", "''", "4xRadeonVII"),
            ("", "''", "4xRadeonVII"),
            ("0xMI60", "'0xMI60'", "1 to 64"),
            ("65xMI60", "'65xMI60'", "1 to 64"),
            ("40xMI60+40xMI50", "80 cards", "64 at most"),
            ("RadeonVII x4", "'RadeonVII x4'", "4xRadeonVII"),
            ("RadeonVII@0", "@0", "twenty times"),
            ("RadeonVII@fast", "@fast", "twenty times"),
        ],
    )
    def test_what_is_wrong_is_named(self, tmp_path: Path, written: str, named: str, helped: str) -> None:
        """With what would be right."""
        with pytest.raises(UsageError) as caught:
            open_devices(f"simulated:{written}", state_dir=tmp_path)
        assert named in caught.value.message
        assert helped in caught.value.hint
        assert caught.value.param == "devices"

    def test_cards_say_that_they_are_simulated(self, tmp_path: Path) -> None:
        devices = open_devices("simulated:1xRadeonVII+1xMI50-32GB", state_dir=tmp_path)
        assert [(each.name, each.vendor, each.id) for each in devices.found()] == [
            ("simulated Radeon VII", "simulated", "simulated-0"),
            ("simulated Instinct MI50 32GB", "simulated", "simulated-1"),
        ]

    def test_every_kind_can_be_read(self, tmp_path: Path) -> None:
        """Its figures are within its own limits at rest."""
        devices = open_devices("simulated:" + "+".join(kind.key for kind in KINDS), state_dir=tmp_path)
        for device in devices.found():
            reading = devices.read(device)
            assert reading.power_w is not None
            assert reading.cap_default_w is not None
            assert reading.cap_max_w is not None
            assert 0 < reading.power_w < reading.cap_default_w <= reading.cap_max_w
            assert all(one.celsius < (one.critical_celsius or 0) for one in reading.temperatures)

    def test_looking_leaves_no_files(self, tmp_path: Path) -> None:
        devices, device, _ = rig(tmp_path)
        devices.read(device)
        assert list(tmp_path.iterdir()) == []


class TestHeat:
    def test_a_loaded_card_warms_up_and_settles(self, tmp_path: Path) -> None:
        """63 % of the way after one time constant; warm enough to be warned of, short of its limit."""
        devices, device, clock = rig(tmp_path)
        rest, end = junction(devices.read(device)), settled(RADEON_VII, power_w=250.0)["junction"]
        seen = []
        for _ in range(6):
            work(devices, device, clock, seconds=int(TAU_S))
            seen.append(junction(devices.read(device)))
        assert seen[0] == pytest.approx(rest + 0.632 * (end - rest), abs=0.2)
        assert all(later > earlier for earlier, later in pairwise(seen))
        assert seen[-1] == pytest.approx(100.0, abs=0.5)

    def test_power_and_clocks_follow_the_load(self, tmp_path: Path) -> None:
        devices, device, clock = rig(tmp_path)
        assert devices.read(device).power_w == 20.0
        work(devices, device, clock, seconds=1, load=0.5)
        half = devices.read(device)
        assert (half.power_w, half.busy_percent, half.vram_used_bytes) == (135.0, 50.0, 14 * GIB)
        work(devices, device, clock, seconds=1)
        full = devices.read(device)
        assert (full.power_w, full.core_mhz) == (250.0, 1801)
        assert half.core_mhz is not None
        assert 808 < half.core_mhz < 1801

    def test_looking_does_not_change_a_card(self, tmp_path: Path) -> None:
        """Nor how often its worker speaks."""
        clock = Clock()
        often, seldom = (SimulatedDevices("RadeonVII", tmp_path / place, clock=clock) for place in "ab")
        (device,) = often.found()
        for second in range(40):
            often.put_load(device, 0.8, vram_used_bytes=1)
            often.read(device)
            if second % 4 == 0:
                seldom.put_load(device, 0.8, vram_used_bytes=1)
            clock.now_s += 1.0
        assert often.read(device) == seldom.read(device)

    def test_a_lower_cap_draws_less_and_cools(self, tmp_path: Path) -> None:
        devices, device, clock = rig(tmp_path)
        work(devices, device, clock, seconds=300)
        hot = junction(devices.read(device))
        devices.set_cap(device, 150)
        work(devices, device, clock, seconds=300)
        cooler = devices.read(device)
        assert (cooler.cap_w, cooler.power_w, cooler.cap_default_w) == (150.0, 150.0, 250.0)
        assert junction(cooler) < hot - 20
        devices.set_cap(device, 0)
        assert devices.read(device).cap_w == 250.0

    @pytest.mark.parametrize("watts", [-5, 20, 301])
    def test_a_cap_that_the_card_would_refuse_is_refused(self, tmp_path: Path, watts: float) -> None:
        devices, device, _ = rig(tmp_path)
        with pytest.raises(UsageError, match="From 100 to 300 W, or 0 for the default of 250 W"):
            devices.set_cap(device, watts)

    def test_a_card_whose_fan_stops_goes_over_its_limit(self, tmp_path: Path) -> None:
        """And comes back when it turns again."""
        devices, device, clock = rig(tmp_path)
        devices.set_fan(device, turns=False)
        work(devices, device, clock, seconds=200)
        reading = devices.read(device)
        assert reading.fan_rpm == 0
        assert junction(reading) > 110
        devices.set_fan(device, turns=True)
        work(devices, device, clock, seconds=300, load=0.0)
        assert junction(devices.read(device)) < 40

    def test_a_worker_that_was_killed_leaves_its_card_idle(self, tmp_path: Path) -> None:
        """Its memory is free again, and it cools."""
        devices, device, clock = rig(tmp_path)
        work(devices, device, clock, seconds=120)
        hot = junction(devices.read(device))
        clock.now_s += HOLDS_S + 60
        after = devices.read(device)
        assert (after.busy_percent, after.power_w, after.vram_used_bytes) == (0.0, 20.0, 0)
        assert junction(after) < hot - 20

    def test_heat_may_run_faster(self, tmp_path: Path) -> None:
        """For a demonstration: a quarter of a minute is then five minutes."""
        devices, device, clock = rig(tmp_path, "RadeonVII@20")
        work(devices, device, clock, seconds=15)
        assert junction(devices.read(device)) == pytest.approx(99.5, abs=0.5)

    def test_after_a_restart_of_the_host_cards_are_cold(self, tmp_path: Path) -> None:
        """The host's clock begins anew."""
        devices, device, clock = rig(tmp_path)
        work(devices, device, clock, seconds=300)
        clock.now_s = 3.0
        devices.put_load(device, 0.0, vram_used_bytes=0)
        assert junction(devices.read(device)) == pytest.approx(31.0)


class TestTrouble:
    def test_a_card_falls_off_the_bus_and_comes_back(self, tmp_path: Path) -> None:
        """The others stay, with their numbers."""
        devices, first, _ = rig(tmp_path)
        devices.set_state(first, "gone")
        assert [each.index for each in devices.found()] == [1]
        assert devices.read(first) == Reading(state="gone")
        devices.set_state(first, "ok")
        assert [each.index for each in devices.found()] == [0, 1]
        assert devices.read(first).state == "ok"

    def test_a_card_whose_driver_starts_again_is_found_and_tells_nothing(self, tmp_path: Path) -> None:
        devices, first, _ = rig(tmp_path)
        devices.set_state(first, "resetting")
        assert len(devices.found()) == 2
        assert devices.read(first) == Reading(state="resetting")
        devices.set_state(first, "gone")
        assert devices.read(first).state == "gone"

    def test_a_file_made_by_hand_does_it_too(self, tmp_path: Path) -> None:
        devices, _, _ = rig(tmp_path)
        (tmp_path / FOLDER).mkdir()
        for number in (0, 1):
            (tmp_path / FOLDER / f"gpu{number}.gone").touch()
        assert devices.found() == ()
        assert FOLDER in devices.why_none()

    def test_another_process_sees_and_changes_the_same_card(self, tmp_path: Path) -> None:
        """By the files alone."""
        script = (
            "import sys; from pathlib import Path\n"
            "from viiwork.devices.simulated import SimulatedDevices\n"
            "devices = SimulatedDevices('2xRadeonVII', Path(sys.argv[1]))\n"
            "first, second = devices.found()\n"
            "devices.set_cap(first, 180)\n"
            "devices.set_state(second, 'gone')\n"
        )
        subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=True)
        devices = SimulatedDevices("2xRadeonVII", tmp_path)
        (first,) = devices.found()
        assert devices.read(first).cap_w == 180.0

    def test_changes_at_one_time_are_all_kept(self, tmp_path: Path) -> None:
        """A cap is not lost to a load that is written beside it."""
        script = (
            "import sys; from pathlib import Path\n"
            "from viiwork.devices.simulated import SimulatedDevices\n"
            "devices = SimulatedDevices('RadeonVII', Path(sys.argv[1]))\n"
            "for _ in range(200): devices.put_load(devices.found()[0], 0.5, vram_used_bytes=7)\n"
        )
        writer = subprocess.Popen([sys.executable, "-c", script, str(tmp_path)])
        devices = SimulatedDevices("RadeonVII", tmp_path)
        (device,) = devices.found()
        try:
            for watts in range(100, 300):
                devices.set_cap(device, watts)
                assert devices.read(device).cap_w == watts
        finally:
            assert writer.wait(60) == 0
        assert sorted(file.name for file in (tmp_path / FOLDER).iterdir()) == ["gpu0.json", "gpu0.lock"]

    def test_a_file_that_is_not_ours_is_a_card_that_nobody_has_used(self, tmp_path: Path) -> None:
        devices, device, _ = rig(tmp_path)
        (tmp_path / FOLDER).mkdir()
        (tmp_path / FOLDER / "gpu0.json").write_text('{"load": 9}')
        assert devices.read(device).power_w == 20.0

    def test_a_place_that_cannot_be_written_is_one_sentence(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        devices = SimulatedDevices("RadeonVII", tmp_path / "file")
        with pytest.raises(UsageError, match="cannot be kept there"):
            devices.put_load(devices.found()[0], 1.0, vram_used_bytes=0)
