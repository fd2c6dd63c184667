"""What is said of limits where no power room runs, as in containers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped] # PyYAML ships no types

from viiwork.cli.main import run
from viiwork.power.unkept import fixed_cap_w, unkept
from viiwork.processes import SUPERVISED_BY
from viiwork.settings import Settings, load_settings
from viiwork_workers.orders import unheard

NIGHT = {"when": "22:00-07:00", "host_watts": 1400, "cap_watts": 180}


def settings(tmp_path: Path, **sections: Any) -> Settings:
    return load_settings({"fleet": {"state_dir": str(tmp_path)}, **sections})


@pytest.mark.parametrize(
    ("power", "schedule", "cap_w"),
    [
        ({}, [], None),
        ({"host_watts": 900}, [], 168),
        ({"host_watts": 900}, [NIGHT], 168),
        ({"host_watts": 1400}, [NIGHT], 180),
        ({"cap_watts": 150}, [], 150),
        ({"host_watts": 100}, [], 0),
    ],
)
def test_the_cap_that_is_named_keeps_the_smallest_budget_of_any_hour(
    tmp_path: Path, power: dict[str, float], schedule: list[dict[str, Any]], cap_w: int | None
) -> None:
    """900 W at the wall leave 675 W for four cards."""
    assert fixed_cap_w(settings(tmp_path, power=power, schedule=schedule), cards=4) == cap_w


def test_limits_that_are_not_kept_are_named_and_others_are_not(tmp_path: Path) -> None:
    assert unkept(settings(tmp_path), cards=4) == ()
    assert unkept(settings(tmp_path, power={"host_watts": 900}), cards=0) == ()
    closed = {"when": "22:00-07:00", "lanes": ["batch"]}
    watts, lanes = unkept(settings(tmp_path, power={"host_watts": 900}, schedule=[closed]), cards=4)
    assert "`sudo viiwork power set 168 --all`" in watts
    assert "all lanes are served at any hour" in lanes
    (nothing,) = unkept(settings(tmp_path, power={"host_watts": 100}), cards=4)
    assert "do not start them" in nothing


def test_compose_says_so_and_writes_it_into_its_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever starts the containers may be another person than who wrote the file."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setenv("VIIWORK_CONFIG", str(tmp_path / "fleet.toml"))  # set by --config too: taken back afterwards
    (tmp_path / "fleet.toml").write_text("[power]\nhost_watts = 900\n", encoding="utf-8")
    assert run(["compose", "--devices", "simulated:4xRadeonVII", "--config", str(tmp_path / "fleet.toml")]) == 0
    seen = capsys.readouterr()
    assert "168 W a card (4 cards)" in " ".join(seen.err.split())
    assert "# A power budget or cap is set, and containers do not keep to it" in seen.out
    assert "gpu3" in yaml.safe_load(seen.out)["services"]


def test_a_worker_that_nobody_tells_of_its_limits_says_so(tmp_path: Path) -> None:
    """In its log, where an operator of a container looks."""
    limited = settings(tmp_path, power={"host_watts": 900})
    assert "only workers that `viiwork up` starts keep to it" in unheard(limited, environ={})
    assert unheard(limited, environ={SUPERVISED_BY: str(tmp_path)}) == ""
    assert unheard(settings(tmp_path), environ={}) == ""
