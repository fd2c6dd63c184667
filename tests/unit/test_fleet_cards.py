"""Which workers a fleet has by the cards that the settings name."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fakes.cards import radeon_vii, write_tree
from viiwork.devices import Device
from viiwork.devices.makers import check_makers
from viiwork.devices.simulated import FOLDER
from viiwork.errors import SettingsError, StartupError, UsageError
from viiwork.fleet.berths import unplanned
from viiwork.fleet.cards import card_ids, check_engine_fits, settle_cards
from viiwork.fleet.plan import engine_names, plan
from viiwork.settings import Settings, load_settings
from viiwork.variables import WORKER_CARDS


def settings(state: Path, spec: str, **sections: dict[str, object]) -> Settings:
    given = {"fleet": {"state_dir": state}, "devices": {"spec": spec}, "engine": {"kind": "simulated"}, **sections}
    return load_settings(given)


def names(seen: Settings, *, root: Path = Path("/nowhere")) -> tuple[str, ...]:
    return engine_names(settle_cards(seen, root=root))


def test_without_a_word_nobody_looks_and_the_number_of_cards_is_what_the_settings_say(tmp_path: Path) -> None:
    seen = settings(tmp_path, "", workers={"gpus": 2})
    assert settle_cards(seen) is seen
    assert names(seen) == ("gpu0", "gpu1")


def test_each_card_that_can_be_opened_has_a_worker_by_its_number(tmp_path: Path) -> None:
    root = write_tree(tmp_path / "root", [radeon_vii(0), radeon_vii(1)])
    assert names(settings(tmp_path, "auto"), root=root) == ("gpu0", "gpu1")
    assert names(settings(tmp_path, "amd", workers={"gpus": 1}), root=root) == ("gpu0",)


def test_settled_once_more_it_is_the_same(tmp_path: Path) -> None:
    """The supervisor in the background settles what the command had settled."""
    once = settle_cards(settings(tmp_path, "simulated:3xRadeonVII"))
    assert once.workers.gpus == 3
    assert settle_cards(once) == once


def test_a_simulated_card_that_is_off_the_bus_keeps_its_worker(tmp_path: Path) -> None:
    """Which waits for it; the numbers of the others stay."""
    (tmp_path / FOLDER).mkdir()
    (tmp_path / FOLDER / "gpu0.gone").touch()
    assert names(settings(tmp_path, "simulated:2xRadeonVII")) == ("gpu0", "gpu1")


@pytest.mark.parametrize("spec", ["none", "cpu"])
def test_without_cards_by_choice_the_engines_run_on_the_cpu(tmp_path: Path, spec: str) -> None:
    """Whatever number the settings file has."""
    assert names(settings(tmp_path, spec, workers={"gpus": 4, "cpus": 2})) == ("cpu0", "cpu1")


def test_no_card_is_an_error_that_says_what_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(StartupError, match=r"auto: no cards were found\. AMD: there is no /dev/kfd.*NVIDIA: .*gpus"):
        names(settings(tmp_path, "auto"), root=tmp_path)


def test_more_cards_than_there_are_cannot_be_had(tmp_path: Path) -> None:
    seen = settings(tmp_path, "simulated:2xRadeonVII", workers={"gpus": 3})
    with pytest.raises(SettingsError, match=r"3 cards are wanted, and simulated:2xRadeonVII has 2"):
        names(seen)


def test_what_names_no_cards_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there are no such devices"):
        names(settings(tmp_path, "7xRadeonVII"))


def test_a_real_engine_wants_real_cards(tmp_path: Path) -> None:
    seen = settings(tmp_path, "simulated:2xRadeonVII", engine={"kind": "vllm-gfx906"})
    with pytest.raises(SettingsError, match=r"vllm-gfx906 needs real cards"):
        names(seen)


def test_cards_of_two_makers_are_refused_with_the_way_out() -> None:
    """A card that this user may not open is in nobody's way."""
    amd = Device("GPU-1", "amd", 0, "Radeon VII", "gfx906", 1)
    nvidia = Device("GPU-2", "nvidia", 0, "RTX 3090", "sm_86", 1)
    with pytest.raises(SettingsError, match=r"1 of AMD's cards and 1 of NVIDIA's.*--devices amd or --devices nvidia"):
        check_makers([amd, nvidia])
    check_makers([amd, Device("GPU-2", "nvidia", -1, "RTX 3090", "sm_86", 1, openable=False)])


def test_each_worker_is_told_who_its_card_is(tmp_path: Path) -> None:
    """By the number alone, one that is started again after another card was lost would take its neighbour's."""
    root = write_tree(tmp_path / "root", [radeon_vii(0), radeon_vii(1)])
    seen = settle_cards(settings(tmp_path, "auto"), root=root)
    ids = card_ids(seen, root=root)
    assert ids == {"gpu0": radeon_vii(0).uuid, "gpu1": radeon_vii(1).uuid}
    told = {
        spec.name: spec.env.get(WORKER_CARDS)
        for spec in plan(seen, environ={}, berths=unplanned(seen, engine_names(seen), ids))
    }
    assert told == {"api": None, **ids, "reader0": None, "flower": None}
    assert card_ids(settings(tmp_path, "")) == {}


def test_an_engine_of_another_maker_is_refused(tmp_path: Path) -> None:
    nvidia = [Device("GPU-2", "nvidia", 0, "RTX 3090", "sm_86", 1)]
    with pytest.raises(SettingsError, match=r"runs on AMD's cards, and these are NVIDIA's"):
        check_engine_fits(settings(tmp_path, "auto", engine={"kind": "vllm-gfx906"}), nvidia)
    check_engine_fits(settings(tmp_path, "auto", engine={"kind": "vllm"}), nvidia)
    check_engine_fits(settings(tmp_path, "auto", engine={"kind": "vlm"}), nvidia)  # told of later
