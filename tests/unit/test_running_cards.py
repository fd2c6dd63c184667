"""Commands that show cards find those of the fleet that runs here, and call simulated ones so."""

from __future__ import annotations

import asyncio
import os
from dataclasses import replace
from pathlib import Path

import pytest

from commands import Cli
from service import Service
from tests.unit.test_fitting import EIGHT as EIGHT_CARDS
from viiwork.devices.simulated import FOLDER
from viiwork.doctor import CardsFacts, EngineFacts, Finding, Verdict, diagnose, of_cards, of_engine
from viiwork.fleet.describe import supervisor_record
from viiwork.fleet.examine import examine
from viiwork.fleet.machineroom import machine_facts
from viiwork.fleet.running import neighbours_with_cards, running_here, simulated_cards
from viiwork.jobs import Lane
from viiwork.processes import identity
from viiwork.roster import WorkerCard
from viiwork.settings import Settings, load_settings
from viiwork.statedir import Run, StateDir, SupervisorRecord
from viiwork.store.upkeep import Upkeep

EIGHT = "simulated:8xRadeonVII"
NOBODY = "simulated:1xMI60"


def state(tmp_path: Path, fleet: str = "default") -> Path:
    """Where the commands of these tests look for a fleet."""
    return tmp_path / "no-fleet" / "viiwork" / fleet


def runs(place: Path, *, devices: str = EIGHT, alive: bool = True) -> Path:
    """What the supervisor of a fleet writes down there; it is this process, or one that is gone."""
    place.mkdir(parents=True, exist_ok=True)
    me = SupervisorRecord(
        pid=os.getpid(),
        identity=(identity(os.getpid()) or "") if alive else "another process",
        api_url="http://127.0.0.1:9/",
        devices=devices,
        engine="simulated",
    )
    StateDir(place).write_run(Run(fleet=place.name, supervisor=me))
    return place


@pytest.fixture(autouse=True)
def settings_of_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("VIIWORK_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("VIIWORK_URL", "http://127.0.0.1:9")


def settings(place: Path, **sections: dict[str, object]) -> Settings:
    return load_settings({"fleet": {"state_dir": str(place)}, **sections})


class TestRunning:
    def test_it_is_known_while_its_supervisor_lives_and_no_longer(self, tmp_path: Path) -> None:
        """A killed one leaves its record behind."""
        assert running_here(tmp_path) is None
        run = running_here(runs(tmp_path / "a"))
        assert run is not None
        assert simulated_cards(run) == EIGHT
        assert running_here(runs(tmp_path / "b", alive=False)) is None

    def test_a_supervisor_writes_down_the_cards_and_the_engine_that_flags_may_have_named(self, tmp_path: Path) -> None:
        asked = settings(tmp_path, devices={"spec": EIGHT}, engine={"kind": "simulated"})
        record = supervisor_record(asked, [], drained={})
        assert (record.devices, record.engine) == (EIGHT, "simulated")

    def test_real_cards_are_looked_up_where_they_are(self, tmp_path: Path) -> None:
        assert simulated_cards(running_here(runs(tmp_path, devices="amd"))) == ""
        assert simulated_cards(None) == ""

    def test_other_fleets_are_those_that_run_beside_it(self, tmp_path: Path) -> None:
        runs(tmp_path / "mine")
        runs(tmp_path / "night", devices=NOBODY)
        runs(tmp_path / "dead", alive=False)
        runs(tmp_path / "real", devices="amd")
        assert list(neighbours_with_cards(tmp_path / "mine")) == [("night", NOBODY)]


class TestGpusAndPower:
    @pytest.mark.parametrize("command", [("gpus",), ("power", "show")])
    def test_the_cards_of_the_fleet_that_runs_here_are_shown_and_called_simulated(
        self, cli: Cli, tmp_path: Path, command: tuple[str, ...]
    ) -> None:
        """Nobody has to name them again."""
        runs(state(tmp_path))
        said = cli(*command)
        assert said.code == 0
        assert said.out.count("simulated Radeon VII") == 8
        assert said.err.startswith(f"Simulated cards ({EIGHT}) of the fleet 'default', which runs here.")
        assert "--devices auto" in said.err

    @pytest.mark.parametrize("command", [("gpus",), ("power", "show")])
    def test_json_has_the_cards_alone(self, cli: Cli, tmp_path: Path, command: tuple[str, ...]) -> None:
        """Each says itself what it is."""
        runs(state(tmp_path))
        said = cli(*command, "--json")
        assert (said.code, said.err, len(said.objects)) == (0, "", 8)
        assert {card["vendor"] for card in said.objects} == {"simulated"}

    def test_what_runs_goes_before_the_settings_and_what_is_named_before_both(self, cli: Cli, tmp_path: Path) -> None:
        runs(state(tmp_path))
        (tmp_path / "viiwork.toml").write_text(f'[devices]\nspec = "{NOBODY}"\n')
        assert cli("gpus").out.count("simulated Radeon VII") == 8
        said = cli("gpus", "--devices", "simulated:2xRadeonVII")
        assert (said.out.count("simulated Radeon VII"), said.err) == (2, "")
        runs(state(tmp_path), alive=False)
        assert "simulated Instinct MI60" in cli("gpus").out

    def test_without_a_card_it_says_where_it_looked_and_what_to_type(self, cli: Cli, tmp_path: Path) -> None:
        """Also that another fleet runs here, and how its cards are seen."""
        (tmp_path / "viiwork.toml").write_text('[devices]\nspec = "none"\n')
        runs(state(tmp_path, "night"))
        for command, typed in ((("gpus",), "viiwork gpus"), (("power", "show"), "viiwork power show")):
            said = cli(*command)
            assert (said.code, said.out) == (1, "")
            assert f"Looked at: none, as devices.spec says; and no fleet runs from {state(tmp_path)}." in said.err
            assert f"The fleet 'night' runs here with {EIGHT}: {typed} --fleet night" in said.err
            assert f"{typed} --devices simulated:4xRadeonVII" in said.err
        assert cli("gpus", "--fleet", "night").out.count("simulated Radeon VII") == 8

    def test_a_cap_goes_to_the_cards_of_the_fleet_that_runs(self, cli: Cli, tmp_path: Path) -> None:
        """And it is said whose they are."""
        runs(state(tmp_path))
        said = cli("power", "set", "180", "--card", "gpu2")
        assert (said.code, "of the fleet 'default'" in said.err) == (0, True)
        assert [card["cap_w"] for card in cli("gpus", "--json").objects][1:4] == [250.0, 180.0, 250.0]


def found(place: Path, **sections: dict[str, object]) -> dict[str, Finding]:
    findings = diagnose(asyncio.run(examine(settings(place, **sections))))
    return {finding.check: finding for finding in findings}


class TestDoctor:
    def test_the_fleets_simulated_cards_are_checked_and_never_taken_for_this_computers(self, tmp_path: Path) -> None:
        told = found(runs(tmp_path / "state"))["Simulated cards"]
        assert told.verdict is Verdict.OK
        assert told.found == (
            "8 simulated Radeon VII (gfx906, 16 GiB), of the fleet 'state', which runs here: "
            "simulated, none is a card of this computer"
        )

    def test_one_that_fell_off_the_bus_is_told_with_the_file_that_mends_it(self, tmp_path: Path) -> None:
        place = runs(tmp_path / "state")
        (place / FOLDER).mkdir()
        (place / FOLDER / "gpu2.gone").touch()
        (place / FOLDER / "gpu3.resetting").touch()
        told = found(place)["Simulated cards"]
        assert told.verdict is Verdict.WARN
        assert told.found.endswith("; gpu2 is gone, gpu3 is resetting")
        assert told.advice == f"To mend them remove, in {place / FOLDER}: gpu2.gone gpu3.resetting"

    def test_named_ones_go_before_those_that_run(self, tmp_path: Path) -> None:
        """`doctor --devices` asks for another fleet than this one."""
        told = found(runs(tmp_path / "state"), devices={"spec": NOBODY})["Simulated cards"]
        assert "1 simulated Instinct MI60" in told.found
        assert "no fleet runs with them" in told.found

    def test_without_a_fleet_or_a_name_nothing_is_said_of_simulated_ones(self, tmp_path: Path) -> None:
        assert "Simulated cards" not in found(tmp_path / "state")

    def test_a_machine_without_cards_hears_what_was_looked_for_and_how_to_try(self) -> None:
        """It is no fault; where the fleet has simulated ones it knows how to try."""
        facts = CardsFacts(engine="extractive", why_none="AMD: no /dev/kfd.\nNVIDIA: no driver.")
        (told,) = of_cards(facts)
        assert told.verdict is Verdict.OK
        assert told.found.endswith("engines run on the processor. AMD: no /dev/kfd. NVIDIA: no driver.")
        assert "viiwork up --engine simulated --devices simulated:4xRadeonVII" in told.advice
        (told,) = of_cards(replace(facts, simulated=True))
        assert "the fleet has simulated ones" in told.found
        assert "processor" not in told.found

    def test_ports_are_those_that_the_fleet_took(self, tmp_path: Path) -> None:
        """Flags of `up` are not in the settings."""
        facts = machine_facts(settings(runs(tmp_path / "state")))
        assert (facts.ports, facts.running) == ((9,), True)

    def test_an_engine_that_flags_named_is_told_before_the_settings_one(self, tmp_path: Path) -> None:
        told = found(runs(tmp_path / "state"))["Engine"]
        assert (
            told.found
            == "simulated in the fleet that runs here, by the flags of its `up`; without flags it would be extractive"
        )
        assert of_engine(EngineFacts(title="extractive", alias=""))[0].found == "extractive"


class TestTold:
    def test_a_fleet_in_containers_is_asked_for_the_cards_of_its_workers(
        self, cli: Cli, service: Service, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """No state directory of it is here; it is said where the cards were heard of."""
        (worker, *_) = EIGHT_CARDS.workers
        service.run(join(service, worker.card))
        monkeypatch.setenv("VIIWORK_DEVICES_SPEC", "none")
        said = cli("gpus")
        assert (said.code, "gpu0" in said.out, "simulated Radeon VII" in said.out) == (0, True, True)
        assert "of the fleet 'test', which answers at http://127.0.0.1:" in said.err
        (card,) = cli("gpus", "--json").objects
        assert (card["vendor"], card["index"], card["power_w"]) == ("simulated", 0, 231.0)
        assert card["worker"] == worker.card.name

    @pytest.mark.parametrize("url", ["http://127.0.0.1:9", "http://fleet.example:8400", "nonsense"])
    def test_who_does_not_answer_or_is_elsewhere_has_no_cards_of_this_computer(
        self, cli: Cli, monkeypatch: pytest.MonkeyPatch, url: str
    ) -> None:
        monkeypatch.setenv("VIIWORK_URL", url)
        monkeypatch.setenv("VIIWORK_DEVICES_SPEC", "none")
        said = cli("gpus", "--json")
        assert (said.code, said.out) == (1, "")
        assert said.err.startswith("No cards were found.")


async def join(service: Service, card: WorkerCard) -> None:
    """As a worker does by its beats."""
    upkeep = Upkeep(service.store, lease_ttl_s=60, hint_grace_s=5)
    await upkeep.beat(card, queues=[f"{lane.value}.{card.model}" for lane in Lane], in_flight={}, held=[])
