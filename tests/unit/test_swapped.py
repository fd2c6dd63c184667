"""Models that were swapped for others: what the settings come to, and what a swap would take."""

from __future__ import annotations

from pathlib import Path

import pytest

from viiwork.cli.served import with_models
from viiwork.errors import NothingFits
from viiwork.fleet.cards import settle_cards
from viiwork.fleet.mending import Mender
from viiwork.fleet.posting import post
from viiwork.fleet.swapped import after, configured, read_swaps, told, with_swaps, write_swaps
from viiwork.fleet.wanted import wanted_models
from viiwork.settings import Settings, load_settings

SMALL, LARGE, OTHER = "mistral-7b-int4", "llama-2-13b-int8", "llama-2-7b-int4"


def settings(state: Path, *models: str) -> Settings:
    given = {
        "fleet": {"state_dir": state},
        "devices": {"spec": "simulated:4xRadeonVII"},
        "engine": {"kind": "simulated"},
    }
    return settle_cards(with_models(load_settings(given), models))


def test_a_swap_holds_for_the_model_that_the_settings_name(tmp_path: Path) -> None:
    """Whatever it has become since; back at the first, nothing is swapped any more."""
    seen = settings(tmp_path, "mistral-7b:int4,replicas=2", "llama-2-13b:int8")
    once = after(seen, {}, model=SMALL, to="llama-2-7b:int4")
    assert once == {SMALL: "llama-2-7b:int4"}
    assert configured(with_swaps(seen, once)) == {OTHER: "llama-2-7b:int4", LARGE: "llama-2-13b:int8"}
    assert with_swaps(seen, once).serve[0].replicas == 2
    twice = after(seen, once, model=OTHER, to="qwen2.5-14b:int4")
    assert twice == {SMALL: "qwen2.5-14b:int4"}
    assert after(seen, twice, model="qwen2.5-14b-int4", to="mistral-7b:int4") == {}
    assert told(seen, once) == [
        f"{SMALL} was swapped for llama-2-7b:int4 (viiwork swap {OTHER} --to MODEL swaps again)."
    ]


def test_the_only_model_is_swapped_as_well(tmp_path: Path) -> None:
    seen = settings(tmp_path, "mistral-7b:int4")
    assert with_swaps(seen, {SMALL: "llama-2-7b:int4"}).engine.model == "llama-2-7b:int4"
    assert with_swaps(seen, {"another": "x"}) == seen


def test_swaps_are_kept_in_a_file_and_a_damaged_one_is_none(tmp_path: Path) -> None:
    assert read_swaps(tmp_path) == {}
    write_swaps(tmp_path, {SMALL: "x"})
    assert read_swaps(tmp_path) == {SMALL: "x"}
    (tmp_path / "swaps.json").write_text("[1")
    assert read_swaps(tmp_path) == {}


def test_what_a_swap_takes_is_known_before_anything_is_ended(tmp_path: Path) -> None:
    seen = settings(tmp_path, "mistral-7b:int4", "llama-2-13b:int8")
    posting = post(seen)
    made, cards = Mender(seen, posting), {card.id: card for card in posting.cards}
    before = made.berths
    new = with_swaps(seen, {SMALL: "llama-2-7b:int4"})
    fresh, change = made.exchange(new, wanted_models(new), cards, drained=(), goes=SMALL)
    assert {berth.engine.alias for berth in change.ended} == {SMALL}
    assert [berth.engine.alias for berth in change.started] == [OTHER, OTHER]
    assert (made.berths, fresh.aliases) == (before, {OTHER, LARGE})
    large = with_swaps(seen, {SMALL: "llama-2-70b"})
    with pytest.raises(NothingFits, match=r"llama-2-70b does not fit: needs .* Nothing was changed"):
        made.exchange(large, wanted_models(large), cards, drained=(), goes=SMALL)
    assert made.berths == before
