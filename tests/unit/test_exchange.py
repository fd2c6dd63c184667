"""What a swap would come to: on whose cards the new model goes, what is left over, and what nobody may take unasked."""

from __future__ import annotations

from pathlib import Path

import pytest

from viiwork.cli.served import with_models
from viiwork.errors import NothingFits
from viiwork.fleet.cards import settle_cards
from viiwork.fleet.exchange import Exchange, check_taking, exchange_of
from viiwork.fleet.mending import Mender
from viiwork.fleet.posting import post
from viiwork.fleet.swapped import with_swaps
from viiwork.fleet.wanted import wanted_models
from viiwork.recipes.modelfacts import alias_of
from viiwork.settings import load_settings

SMALL, LARGE, OTHER = "mistral-7b-int4", "llama-2-13b-int8", "llama-2-7b-int4"


def swapped(state: Path, *models: str, cards: int, goes: str, to: str, drained: tuple[str, ...] = ()) -> Exchange:
    devices = {"spec": f"simulated:{cards}xRadeonVII"}
    given = {"fleet": {"state_dir": state}, "devices": devices, "engine": {"kind": "simulated"}}
    seen = settle_cards(with_models(load_settings(given), models))
    posting = post(seen)
    made, found = Mender(seen, posting), {card.id: card for card in posting.cards}
    made.follow(found, drained=drained)
    new = with_swaps(seen, {goes: to})
    after, change = made.exchange(new, wanted_models(new), found, drained=drained, goes=goes)
    return exchange_of(made, after, change, goes=goes, comes=alias_of(to))


def shown(found: Exchange) -> dict[str, str | None]:
    return {berth.name: berth.engine.alias for berth in found.mender.berths}


def test_the_new_model_goes_on_the_cards_of_the_old_one_and_nobody_else_moves(tmp_path: Path) -> None:
    """Whatever the shares would say of all cards."""
    models = ("mistral-7b:int4,share=3", "qwen2.5-7b:int4")
    found = swapped(tmp_path, *models, cards=4, goes=SMALL, to="llama-2-7b:int4")
    assert sorted(filter(None, shown(found).values())) == [OTHER, OTHER, OTHER, "qwen2.5-7b-int4"]
    assert not found.robbed
    names = [berth.name for berth in found.change.ended]
    assert [berth.name for berth in found.change.started] == names
    assert found.told == f"{OTHER} goes on {', '.join(names)}, where {SMALL} is."
    check_taking(found, allowed=False)


def test_a_card_that_the_new_model_cannot_use_is_named(tmp_path: Path) -> None:
    """It stays unused where no other model can use it either."""
    found = swapped(tmp_path, "mistral-7b:int4", cards=3, goes=SMALL, to="llama-2-13b:int8")
    assert list(shown(found).values()) == [LARGE]
    assert found.told.endswith("gpu2 is left unused.")
    both = swapped(tmp_path, "mistral-7b:int4,share=3", "llama-2-7b:int4", cards=4, goes=SMALL, to="llama-2-13b:int8")
    assert sorted(filter(None, shown(both).values())) == [LARGE, OTHER, OTHER]
    assert f"{OTHER} begins on gpu" in both.told
    assert not both.robbed


def test_cards_of_another_model_are_taken_only_where_that_is_allowed(tmp_path: Path) -> None:
    """And never its last one."""
    models = ("mistral-7b:int4,share=3", "llama-2-7b:int4")
    found = swapped(tmp_path, *models, cards=4, goes=OTHER, to="llama-2-13b:int8")
    assert [berth.engine.alias for berth in found.robbed] == [SMALL]
    with pytest.raises(NothingFits, match=rf"{LARGE} would need cards of {SMALL}: .*{SMALL} leaves gpu.*--take-cards"):
        check_taking(found, allowed=False)
    check_taking(found, allowed=True)
    assert sorted(filter(None, shown(found).values())) == [LARGE, SMALL, SMALL]
    with pytest.raises(NothingFits, match=f"{LARGE} does not fit"):
        swapped(tmp_path, "mistral-7b:int4", "llama-2-7b:int4", cards=2, goes=OTHER, to="llama-2-13b:int8")


def test_a_drained_card_is_no_part_of_it(tmp_path: Path) -> None:
    found = swapped(tmp_path, "mistral-7b:int4", cards=3, goes=SMALL, to="llama-2-7b:int4", drained=("gpu1",))
    assert list(shown(found)) == ["gpu0", "gpu2"]
