"""`viiwork power`: showing caps and setting them, of AMD's, NVIDIA's and simulated cards."""

from __future__ import annotations

import shlex
import time
from pathlib import Path
from typing import Any

import pytest

from commands import Cli
from tests.fakes.cards import FakeCard, device_folder, radeon_vii, write_tree
from tests.fakes.nvml import FakeNvidia, FakeNvml, NVMLError
from viiwork.cli.power import CardPower, as_object, chosen, power_table
from viiwork.cli.screen import out
from viiwork.devices import Device, Reading, open_devices
from viiwork.devices.caps import CapsNotSet, check_watts, root_command, set_caps, set_nvidia, writable
from viiwork.errors import UsageError
from viiwork.jobs import Lane
from viiwork.powerfile import Order, PowerFile, write_power

SIMULATED = ("--devices", "simulated:4xRadeonVII", "--state-dir")
NVIDIA = Device("GPU-n", "nvidia", 0, "GeForce RTX 3090", "sm_86", 1, uuid="GPU-n", pci="0000:41:00.0")


class Nvml(FakeNvml):
    """One that lets a limit be set, or refuses it."""

    error = 0
    written = 0

    def nvmlDeviceSetPowerManagementLimit(self, _card: FakeNvidia, milliwatts: int) -> None:  # noqa: N802
        if self.error:
            raise NVMLError(self.error)
        self.written = milliwatts


def cap_of(root: Path, card: FakeCard) -> str:
    (found,) = device_folder(root, card).glob("hwmon/*/power1_cap")
    return found.read_text().strip()


def unwritable(root: Path, card: FakeCard) -> Path:
    """A cap that not even the super-user can open for writing: a folder stands in its place."""
    (found,) = device_folder(root, card).glob("hwmon/*/power1_cap")
    found.unlink()
    found.mkdir()
    return found


class TestCommand:
    def test_caps_of_simulated_cards_are_set_and_shown(self, cli: Cli, tmp_path: Path) -> None:
        said = cli("power", "set", "180", "--card", "gpu2", "--json", *SIMULATED, tmp_path / "s")
        assert (said.code, said.objects[0]["card"], len(said.objects)) == (0, "gpu2", 1)
        assert "set them at every start" in said.err
        shown = cli("power", "show", "--json", *SIMULATED, tmp_path / "s").objects
        assert [card["cap_w"] for card in shown] == [250.0, 250.0, 180.0, 250.0]
        assert {card["cap_writable"] for card in shown} == {True}

    def test_0_takes_the_caps_off_again(self, cli: Cli, tmp_path: Path) -> None:
        cli("power", "set", "180", "--all", *SIMULATED, tmp_path / "s")
        said = cli("power", "set", "0", "--all", *SIMULATED, tmp_path / "s")
        assert (said.code, said.err) == (0, "")
        lines = [line.split() for line in said.out.splitlines() if line.strip()]
        assert [line[0] for line in lines if "250" in line] == ["gpu0", "gpu1", "gpu2", "gpu3"]
        assert lines[-1] == ["all", "80", "1000"]

    @pytest.mark.parametrize(
        ("arguments", "why"),
        [
            (("180",), "Name cards with --card gpu0, or take --all"),
            (("180", "--all", "--card", "gpu0"), "Name cards with --card gpu0, or take --all"),
            (("180", "--card", "gpu9"), "there is no such card. There are gpu0, gpu1, gpu2, gpu3"),
            (("500", "--all"), "a power cap of 500 W is not possible. From 100 to 300 W, or 0 for the default of 250"),
            (("180.5", "--all"), "should be a valid integer"),
        ],
    )
    def test_wrong_usage_is_told_and_nothing_is_written(
        self, cli: Cli, tmp_path: Path, arguments: tuple[str, ...], why: str
    ) -> None:
        said = cli("power", "set", *arguments, *SIMULATED, tmp_path / "s")
        assert (said.code, said.out) == (2, "")
        assert why in said.err
        assert not (tmp_path / "s").exists()

    def test_without_a_card_it_says_what_to_do(self, cli: Cli) -> None:
        for command in (("show",), ("set", "180", "--all")):
            said = cli("power", *command, "--devices", "none")
            assert (said.code, said.out) == (1, "")
            assert "No cards were found." in said.err


TOLD = PowerFile(
    at_s=0.0,
    believed_s=15.0,
    period=7,
    host_watts=900.0,
    room_w=675.0,
    drawn_w=520.0,
    wall_w=727.8,
    entry="22:00-07:00",
    until="2026-11-23T07:00+01:00",
    lanes=(Lane.BATCH,),
    why="the budget leaves 675 W for cards: their caps are lowered",
    workers={"gpu0": Order(), "gpu1": Order(may_load=False), "gpu2": Order(may_run=False, why="no room")},
)


class TestRuling:
    """What `viiwork up` keeps to, below the cards."""

    def test_budget_draw_hours_and_workers_are_shown_while_somebody_keeps_to_them(
        self, cli: Cli, tmp_path: Path
    ) -> None:
        write_power(tmp_path, TOLD.model_copy(update={"at_s": time.monotonic()}))
        said = cli("power", "show", *SIMULATED, tmp_path).out
        for line in (
            "Budget: 900 W at the wall, which leaves 675 W for cards.",
            "Drawn: 520 W by the cards; about 728 W at the wall.",
            "Lanes: batch alone.",
            "Why: the budget leaves 675 W for cards: their caps are lowered.",
        ):
            assert line in said
        assert "Hours: 22:00-07:00 until" in said and "07:00 (UTC+01:00)." in said
        rows = [line.split(maxsplit=2) for line in said.splitlines() if "%" in line]
        assert [[cell.strip() for cell in row] for row in rows] == [
            ["gpu0", "100%"],
            ["gpu1", "100%", "its turn to load has not come"],
            ["gpu2", "0%", "no room"],
        ]

    def test_a_program_gets_one_more_object(self, cli: Cli, tmp_path: Path) -> None:
        write_power(tmp_path, TOLD.model_copy(update={"at_s": time.monotonic()}))
        *cards, last = cli("power", "show", "--json", *SIMULATED, tmp_path).objects
        assert len(cards) == 4
        assert (last["ruling"]["host_watts"], last["ruling"]["drawn_w"], last["ruling"]["period"]) == (900.0, 520.0, 7)

    def test_what_nobody_keeps_to_any_more_is_not_shown(self, cli: Cli, tmp_path: Path) -> None:
        write_power(tmp_path, TOLD.model_copy(update={"at_s": time.monotonic() - 16}))
        assert "Budget" not in cli("power", "show", *SIMULATED, tmp_path).out

    def test_hours_are_shown_without_a_card_too(self, cli: Cli, tmp_path: Path) -> None:
        write_power(tmp_path, PowerFile(at_s=time.monotonic(), believed_s=15.0, lanes=(Lane.BATCH,)))
        said = cli("power", "show", "--devices", "none", "--state-dir", tmp_path)
        assert said.code == 1
        assert "Hours: outside of all entries of the schedule." in said.out
        assert "Lanes: batch alone." in said.out


class TestAmd:
    def test_a_cap_that_this_user_may_write_is_written_at_once(self, tmp_path: Path) -> None:
        fakes = [radeon_vii(0), radeon_vii(1)]
        source = open_devices("auto", state_dir=tmp_path, root=write_tree(tmp_path, fakes))
        devices = source.found()
        assert {writable(device, root=tmp_path) for device in devices} == {True}
        set_caps(source, devices[1:], 180, root=tmp_path, sudo=("/bin/false",))
        assert [cap_of(tmp_path, fake) for fake in fakes] == ["250000000", "180000000"]

    def test_else_root_is_asked_once_for_all_of_them(self, tmp_path: Path) -> None:
        """By the small command alone, and `sudo` with no question."""
        fakes = [radeon_vii(0), radeon_vii(1), radeon_vii(2)]
        source = open_devices("auto", state_dir=tmp_path, root=write_tree(tmp_path / "root", fakes))
        for fake in fakes[:2]:
            unwritable(tmp_path / "root", fake)
        asked = tmp_path / "asked"
        sudo = tmp_path / "sudo"
        sudo.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" >> {asked}\n')
        sudo.chmod(0o755)
        found = source.found()
        assert [writable(device, root=tmp_path / "root") for device in found] == [False, False, True]
        set_caps(source, found, 180, root=tmp_path / "root", sudo=(str(sudo), "-n"))
        orders = [f"{fake.pci}=180" for fake in fakes[:2]]
        assert asked.read_text().splitlines() == ["-n", *root_command(orders)]
        assert cap_of(tmp_path / "root", fakes[2]) == "180000000"

    @pytest.mark.parametrize("sudo", ["/bin/false", "/nowhere/sudo"])
    def test_where_root_refuses_the_command_to_run_is_shown(self, tmp_path: Path, sudo: str) -> None:
        source = open_devices("auto", state_dir=tmp_path, root=write_tree(tmp_path, [radeon_vii(0)]))
        unwritable(tmp_path, radeon_vii(0))
        with pytest.raises(CapsNotSet, match="Only root may write power caps") as refused:
            set_caps(source, source.found(), 180, root=tmp_path, sudo=(sudo,))
        assert refused.value.exit_code == 1
        shown = shlex.split(refused.value.hint.removeprefix("Run: sudo "))
        assert shown == root_command([f"{radeon_vii(0).pci}=180"])
        assert shown[-2].endswith("capwriter.py")

    def test_a_driver_that_refuses_is_told(self, tmp_path: Path) -> None:
        source = open_devices("auto", state_dir=tmp_path, root=write_tree(tmp_path, [radeon_vii(0)]))
        with pytest.raises(CapsNotSet, match=r"Radeon VII \(0000:03:00.0\): 999 W is not within its limits"):
            set_caps(source, source.found(), 999, root=tmp_path)


class TestNvidia:
    def test_the_drivers_library_sets_it_in_milliwatts(self) -> None:
        nvml = Nvml([FakeNvidia("GPU-n", "00000000:41:00.0", 0)])
        set_nvidia(NVIDIA, 250, load=lambda: nvml)
        assert nvml.written == 250_000
        set_nvidia(NVIDIA, 0, load=lambda: nvml)
        assert nvml.written == 350_000

    @pytest.mark.parametrize(
        ("error", "why"),
        [
            (4, "lets root alone set a power cap. Run: sudo nvidia-smi"),
            (3, "cannot be capped"),
            (99, "refuses the cap"),
        ],
    )
    def test_its_refusal_is_a_sentence(self, error: int, why: str) -> None:
        nvml = Nvml([FakeNvidia("GPU-n", "00000000:41:00.0", 0)])
        nvml.error = error
        with pytest.raises(CapsNotSet, match=why):
            set_nvidia(NVIDIA, 250, load=lambda: nvml)

    def test_without_the_library_it_says_how_to_get_it(self) -> None:
        def load() -> Any:
            raise ImportError

        with pytest.raises(CapsNotSet, match=r"viiwork\[nvidia\]"):
            set_nvidia(NVIDIA, 250, load=load)

    def test_only_trying_tells_whether_it_may_be_set(self) -> None:
        assert writable(NVIDIA) is None


class TestPieces:
    def test_a_card_goes_by_number_address_or_uuid(self, tmp_path: Path) -> None:
        source = open_devices("auto", state_dir=tmp_path, root=write_tree(tmp_path, [radeon_vii(0), radeon_vii(1)]))
        seen = [(device, source.read(device)) for device in source.found()]
        fake = radeon_vii(1)
        for name in ("gpu1", fake.pci, fake.uuid):
            assert [device.index for device, _ in chosen(seen, [name, name])] == [1]

    def test_two_makers_with_one_number_are_told_apart_by_address(self, tmp_path: Path) -> None:
        source = open_devices("auto", state_dir=tmp_path, root=write_tree(tmp_path, [radeon_vii(0)]))
        seen = [(source.found()[0], Reading("ok")), (NVIDIA, Reading("ok"))]
        with pytest.raises(UsageError, match=r"two makers number a card so. Give a PCI address: 0000:03:00.0, 0000:41"):
            chosen(seen, ["gpu0"])

    def test_limits_that_nobody_tells_are_left_to_the_driver(self) -> None:
        check_watts(NVIDIA, Reading("ok"), 9000)
        with pytest.raises(UsageError, match="From 0 to 300 W, or 0 for the default"):
            check_watts(NVIDIA, Reading("ok", cap_max_w=300.0), 301)

    def test_what_is_not_known_is_a_dash_and_null(self) -> None:
        """Also the sum: unknown watts are not 0 W."""
        cards = [CardPower(NVIDIA, Reading("ok", power_w=100.0), None), CardPower(NVIDIA, Reading("resetting"), False)]
        console = out()
        with console.capture() as text:
            console.print(power_table(cards))
        (last,) = (line for line in text.get().splitlines() if line.split()[:1] == ["all"])
        assert last.split() == ["all", "-", "-"]
        assert "(resetting)" in text.get()
        assert as_object(cards[1])["power_w"] is None
