"""What leaves the house: markers are planted wherever a name may stand, and the file is searched for them."""

from __future__ import annotations

import json
from dataclasses import asdict, fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from viiwork.cli.bench import check_share, write_share
from viiwork.errors import UsageError
from viiwork.rig.outcome import Beside, CardKind, Outcome, Step, Tokens, Waits
from viiwork.rig.price import Terms
from viiwork.rig.spread import Spread

MARK = "zebra-7f3a"
STEP = Step(
    workers=1,
    cards=1,
    in_flight=4.0,
    output_tokens_per_s=Spread(200.0, 190.0, 210.0, 3),
    counted_by="engine",
    jobs_per_s=Spread(2.0, 1.9, 2.1, 3),
    watts=180.0,
    all_watts=400.0,
    others=0,
    dry=0,
    short=0,
    throttled=0,
)
OUTCOME = Outcome(
    model="m",
    engine="vLLM (gfx906)",
    simulated=False,
    versions={"viiwork": "0.1.0", "python": "3.11.7"},
    cards=(CardKind("Radeon VII", 4, 180.0, 1700, 1000),),
    workers=4,
    slots=16,
    hosts=1,
    window_s=20.0,
    tokens=Tokens(512.0, 128.0, 40),
    in_flight=(STEP,),
    crews=(STEP,),
    beside=Beside(
        10, Waits(90, 80.0, 120.0, 150.0), Waits(85, 90.0, 200.0, 400.0), STEP, STEP, Spread(0.9, 0.85, 0.95, 3), 0
    ),
    failed=0,
    left_out=(),
)
TERMS = Terms(currency="EUR", supply_efficiency=0.9, base_w=150.0, tariff_per_kwh=0.3)


def marked(value: Any) -> Any:
    """The same with a marker in every text, however deep: a host, a user, a path, a tenant and a key in one."""
    if isinstance(value, str):
        return f"{value} anna@{MARK} /home/{MARK} sk-{MARK}"
    if isinstance(value, tuple):
        return tuple(marked(each) for each in value)
    if isinstance(value, dict):
        return {**value, MARK: MARK}
    if is_dataclass(value) and not isinstance(value, type):
        return replace(value, **{field.name: marked(getattr(value, field.name)) for field in fields(value)})
    return value


def test_a_file_of_an_outcome_full_of_names_holds_none_of_them(tmp_path: Path) -> None:
    """Figures are in it all the same."""
    outcome, path = marked(OUTCOME), tmp_path / "share.json"
    assert MARK in json.dumps(asdict(outcome))
    # how tokens were counted is a word of ours
    steps = tuple(replace(step, counted_by="engine") for step in outcome.in_flight)
    beside = replace(outcome.beside, alone=STEP, with_people=STEP)
    outcome = replace(outcome, in_flight=steps, crews=steps, beside=beside)
    write_share(path, outcome, marked(TERMS), name="")
    written = path.read_text("utf-8")
    assert MARK not in written
    said = json.loads(written)
    assert said["model"] is None
    assert said["engine"] == "another engine"
    assert [card["name"] for card in said["cards"]] == ["another card"]
    assert said["in_flight"][0]["output_tokens_per_s"]["median"] == 200.0


def test_it_has_versions_cards_caps_and_clocks_and_the_model_as_its_owner_calls_it(tmp_path: Path) -> None:
    path = tmp_path / "share.json"
    write_share(path, OUTCOME, TERMS, name="qwen3-8b:int4")
    said = json.loads(path.read_text("utf-8"))
    assert said["cards"] == [{"name": "Radeon VII", "count": 4, "cap_w": 180.0, "core_mhz": 1700, "memory_mhz": 1000}]
    assert (said["model"], said["engine"]) == ("qwen3-8b:int4", "vLLM (gfx906)")
    assert said["versions"] == {"viiwork": "0.1.0", "python": "3.11.7"}
    assert said["beside"]["idle"]["p95_ms"] == 120.0
    assert said["simulated"] is False


def test_a_file_that_is_there_and_a_folder_that_is_not_are_refused_before_an_hour_is_spent(tmp_path: Path) -> None:
    (tmp_path / "there.json").touch()
    with pytest.raises(UsageError, match="there already"):
        check_share(tmp_path / "there.json", "")
    with pytest.raises(UsageError, match="no directory"):
        check_share(tmp_path / "none" / "share.json", "")
    with pytest.raises(UsageError, match="--share FILE"):
        check_share(None, "mine")
