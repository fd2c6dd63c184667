"""`viiwork gpus`, and which cards a setting names."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from rich.console import Console

from commands import Cli
from tests.fakes.cards import radeon_vii, write_tree
from tests.terminal import Terminal
from viiwork.cli.cardholders import Holders, holders
from viiwork.cli.cardtable import NOBODY, NONE_DRAINED, card_table
from viiwork.cli.gpus import drained_here
from viiwork.devices import Device, Link, Reading, Temperature, open_devices
from viiwork.devices.simulated import FOLDER
from viiwork.errors import UsageError
from viiwork.jobs import Lane
from viiwork.roster import CardStatus, FleetStatus, WorkerCard, WorkerStatus
from viiwork.settings import load_settings
from viiwork.statedir import Run, StateDir, SupervisorRecord

CARD = Device("GPU-1", "amd", 0, "Radeon VII", "gfx906", 17_163_091_968)
FULL = Reading(
    state="ok",
    vram_used_bytes=15_032_385_536,
    busy_percent=97.0,
    temperatures=(Temperature("edge", 71.0), Temperature("junction", 99.0, 105.0), Temperature("mem", 94.0, 94.0)),
    power_w=231.4,
    cap_w=250.0,
    core_mhz=1801,
    memory_mhz=1001,
    link=Link(8.0, 1),
)


HELD = WorkerStatus(
    card=WorkerCard(
        name="gpu0@here",
        incarnation="i",
        host="here",
        pid=1,
        engine="e",
        model="m",
        slots=16,
        cards=(CardStatus(name="Radeon VII", id="GPU-1", number=0),),
    ),
    in_flight={Lane.BATCH: 3},
)


def shown(
    *seen: tuple[Device, Reading],
    columns: int = 140,
    holders: Holders = NOBODY,
    drains: Mapping[str, str] = NONE_DRAINED,
) -> str:
    console = Console(width=columns, highlight=False)
    with console.capture() as text:
        console.print(card_table(seen, holders=holders, drains=drains))
    return text.get()


class TestChoice:
    def test_auto_finds_the_cards_of_this_machine(self, tmp_path: Path) -> None:
        devices = open_devices("auto", state_dir=tmp_path, root=write_tree(tmp_path, [radeon_vii(0)]))
        (device,) = devices.found()
        assert devices.read(device).power_w == 231.0
        assert devices.why_none() == ""

    def test_auto_on_a_machine_without_cards_says_what_each_maker_lacks(self, tmp_path: Path) -> None:
        devices = open_devices("auto", state_dir=tmp_path, root=tmp_path)
        assert devices.found() == ()
        assert [line.partition(":")[0] for line in devices.why_none().splitlines()] == ["AMD", "NVIDIA"]

    def test_none_is_no_card_wherever_it_is(self, tmp_path: Path) -> None:
        """Nor is a card of somebody else's there."""
        devices = open_devices("none", state_dir=tmp_path, root=write_tree(tmp_path, [radeon_vii(0)]))
        assert (devices.found(), devices.why_none()) == ((), "No cards are wanted (none).")
        assert devices.read(CARD) == Reading(state="gone")

    def test_anything_else_is_refused_with_what_there_is(self, tmp_path: Path) -> None:
        with pytest.raises(
            UsageError, match=r"4xRadeonVII: there are no such devices. Choose auto, amd, nvidia, none, cpu"
        ):
            open_devices("4xRadeonVII", state_dir=tmp_path)


class TestTable:
    def test_a_card_is_one_line_with_its_limits(self) -> None:
        text = shown((CARD, FULL))
        (line,) = (line for line in text.splitlines() if "Radeon VII" in line)
        assert line.split() == [
            *("0", "Radeon", "VII", "14.0/16.0", "97", "%", "71", "99/105", "94/94", "231/250"),
            *("1801/1001", "x1", "8", "gfx906", "ok"),
        ]

    def test_what_is_not_known_is_a_dash_and_never_a_zero(self) -> None:
        """Of a card in reset, one that is gone, and one that this user may not open."""
        closed = Device("GPU-2", "amd", -1, "Radeon VII", "", 0, openable=False)
        text = shown((CARD, Reading(state="resetting")), (CARD, Reading(state="gone")), (closed, Reading(state="ok")))
        assert {"resetting", "gone", "may not be opened here"} <= {
            line.split("gfx906")[-1].split("  -  ")[-1].strip() for line in text.splitlines()
        }
        rows = [line.split("Radeon VII")[1] for line in text.splitlines() if "Radeon VII" in line]
        assert not any(" 0" in row for row in rows)
        assert rows[0].split()[:3] == ["-/16.0", "-", "-/-"]

    def test_sensors_of_one_card_alone_have_a_column_of_their_own(self) -> None:
        other = Reading(state="ok", temperatures=(Temperature("gpu", 50.0, 95.0),))
        header = shown((CARD, FULL), (CARD, other)).splitlines()[0]
        assert [word for word in header.split() if word in {"edge", "junction", "mem", "gpu"}] == [
            *("edge", "junction", "mem", "gpu")
        ]

    def test_a_narrow_screen_has_what_changes(self) -> None:
        text = shown((CARD, FULL), columns=80)
        assert "gfx906" not in text
        assert "99/105" in text
        assert max(map(len, text.splitlines())) <= 80

    def test_a_name_cannot_steer_the_terminal(self) -> None:
        evil = Device("GPU-3", "amd", 0, "Rad\x1b[2Jeon[bold]", "", 0)
        assert "Rad[2Jeon[bold]" in shown((evil, FULL))


class TestHolders:
    def test_a_card_shows_whose_it_is_and_what_holds_that_one_back(self) -> None:
        """A card of nobody's has dashes; a fleet that says nothing of cards has no column."""
        other = Device("GPU-2", "amd", 1, "Radeon VII", "gfx906", 17_163_091_968)
        put_away = HELD.model_copy(update={"quarantine": "It died under 2 jobs."})
        text = shown((CARD, FULL), (other, FULL), holders={"GPU-1": put_away}, columns=200)
        mine, free = (line for line in text.splitlines() if "Radeon VII" in line)
        assert mine.split("gfx906")[1].split() == [
            "gpu0",
            "3/16",
            *["quarantined:", "It", "died", "under", "2", "jobs."],
        ]
        assert free.split("gfx906")[1].split() == ["-", "-", "ok"]
        assert "Worker" not in shown((CARD, FULL))

    def test_a_card_that_a_person_has_drained_is_not_ok(self) -> None:
        """It says why; what is wrong with the card itself comes first."""
        text = shown((CARD, FULL), drains={"gpu0": "fan rattles"})
        (line,) = (line for line in text.splitlines() if "Radeon VII" in line)
        assert line.split("gfx906")[1].split() == ["drained:", "fan", "rattles"]
        assert "gone" in shown((CARD, Reading(state="gone")), drains={"gpu0": ""})

    def test_a_drain_is_of_the_fleets_own_cards(self, tmp_path: Path) -> None:
        """Others have the same names: simulated ones, and this computer's while the fleet has simulated ones."""
        seen = load_settings({"fleet": {"state_dir": tmp_path}})
        spec, drains = "simulated:2xRadeonVII", {"gpu1": "fan"}
        record = SupervisorRecord(pid=1, identity="x", drained=drains, devices=spec)
        StateDir(tmp_path).write_run(Run(fleet="lab", supervisor=record))
        assert drained_here(seen, shown=spec) == drains
        assert drained_here(seen, shown="simulated:4xRadeonVII") == {}
        assert drained_here(seen, shown="auto") == {}

    def test_workers_of_other_hosts_have_none_of_these_cards(self) -> None:
        """Simulated ones are called alike everywhere."""
        fleet = FleetStatus(fleet="f", workers=(HELD,))
        assert holders(fleet, host="here") == {"GPU-1": HELD}
        assert holders(fleet, host="there") == {}


class TestCommand:
    def test_simulated_cards_are_a_table_that_says_so(self, cli: Cli) -> None:
        said = cli("gpus", "--devices", "simulated:2xRadeonVII+1xMI50-32GB")
        assert (said.code, said.err) == (0, "")
        assert said.out.count("simulated Radeon VII") == 2
        assert said.out.count("simulated Instinct MI50") == 1

    def test_json_is_an_object_a_card(self, cli: Cli, tmp_path: Path) -> None:
        """With null for what is not known."""
        place = tmp_path / "state" / FOLDER
        place.mkdir(parents=True)
        (place / "gpu1.resetting").touch()
        said = cli("gpus", "--devices", "simulated:2xRadeonVII", "--state-dir", tmp_path / "state", "--json")
        first, second = said.objects
        assert (first["name"], first["state"], first["power_w"]) == ("simulated Radeon VII", "ok", 20.0)
        assert first["temperatures"][1] == {
            **{"label": "junction", "celsius": 31.0, "critical_celsius": 105.0, "emergency_celsius": 110.0}
        }
        assert (second["state"], second["power_w"], second["vram_used_bytes"]) == ("resetting", None, None)

    def test_no_card_is_exit_code_1_with_what_was_looked_for_and_what_to_do(self, cli: Cli) -> None:
        said = cli("gpus", "--devices", "none")
        assert (said.code, said.out) == (1, "")
        for part in ("No cards were found.", "No cards are wanted", "viiwork gpus --devices simulated:4xRadeonVII"):
            assert part in said.err

    @pytest.mark.parametrize("spec", ["simulated:4xVoodoo2", "simulated", "intel"])
    def test_a_list_that_is_wrong_is_one_line(self, cli: Cli, spec: str) -> None:
        said = cli("gpus", "--devices", spec)
        assert (said.code, said.out, len(said.err.splitlines())) == (2, "", 1)

    def test_watching_shows_the_cards_until_q(self) -> None:
        """And gives the terminal back as it was."""
        with Terminal(["gpus", "--watch", "--devices", "simulated:1xMI60"], url="http://127.0.0.1:9") as terminal:
            before = terminal.attributes()
            terminal.wait_for("simulated Instinct MI60")
            terminal.type("q")
            assert terminal.end() == 0
            assert terminal.attributes() == before
