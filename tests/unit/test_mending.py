"""How the fleet's workers follow its cards: what a loss, a return and a drain end and start."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from viiwork.cli.served import with_models
from viiwork.devices import Device, Reading
from viiwork.devices.simulated import SimulatedDevices
from viiwork.fleet.cards import settle_cards
from viiwork.fleet.cardwatch import LOST, CardWatch
from viiwork.fleet.mending import Change, Mender, told
from viiwork.fleet.posting import Posting, post
from viiwork.fleet.settling import Settling
from viiwork.placement.cards import PlanCard
from viiwork.settings import Settings, load_settings

SMALL, LARGE = "mistral-7b-int4", "llama-2-13b-int8"


def settings(state: Path, *models: str, count: int = 4) -> Settings:
    devices = {"spec": f"simulated:{count}xRadeonVII"}
    given = {"fleet": {"state_dir": state}, "devices": devices, "engine": {"kind": "simulated"}}
    return settle_cards(with_models(load_settings(given), models))


def mender(seen: Settings) -> tuple[Mender, Posting, dict[str, PlanCard]]:
    posting = post(seen)
    return Mender(seen, posting), posting, {card.id: card for card in posting.cards}


def lost(cards: Mapping[str, PlanCard], *numbers: int) -> dict[str, PlanCard]:
    return {name: replace(card, trouble=LOST if card.index in numbers else "") for name, card in cards.items()}


def shown(made: Mender) -> dict[str, str | None]:
    return {berth.name: berth.engine.alias for berth in made.berths}


def test_a_worker_that_lost_its_only_card_waits_for_it(tmp_path: Path) -> None:
    made, _, cards = mender(settings(tmp_path, "mistral-7b:int4"))
    assert made.follow(lost(cards, 2)) == Change()
    assert "gpu2" in shown(made)
    assert made.follow(cards) == Change()


def test_a_group_is_made_anew_and_who_has_moved_stays_when_the_card_is_back(tmp_path: Path) -> None:
    """As good as before with a card less to load; the returned one goes to whoever gave one."""
    made, posting, cards = mender(settings(tmp_path, "mistral-7b:int4", "llama-2-13b:int8"))
    group = next(berth for berth in posting.berths if len(berth.cards) == 2)
    gone = int(group.cards[0][-1])
    change = made.follow(lost(cards, gone))
    assert {berth.engine.alias for berth in change.ended} == {SMALL, LARGE}
    assert [berth.engine.alias for berth in change.started] == [LARGE]
    assert told(change).startswith("the plan has changed: ")
    back = made.follow(cards)
    assert (back.ended, [(berth.name, berth.engine.alias) for berth in back.started]) == ((), [(f"gpu{gone}", SMALL)])
    assert made.follow(lost(cards, gone)) == Change(), "the small model's worker waits now"


def test_a_model_that_cannot_be_served_any_more_is_told_once(tmp_path: Path) -> None:
    made, _, cards = mender(settings(tmp_path, "mistral-7b:int4", "llama-2-13b:int8", count=3))
    change = made.follow(lost(cards, 0, 1))
    assert any(remark.startswith(LARGE) for remark in change.remarks)
    assert made.follow(lost(cards, 0, 1)) == Change()


def test_a_drained_card_is_left_out_and_comes_back(tmp_path: Path) -> None:
    """A group goes elsewhere; nobody waits for a card that a person took away."""
    made, posting, cards = mender(settings(tmp_path, "mistral-7b:int4", "llama-2-13b:int8"))
    group = next(berth for berth in posting.berths if len(berth.cards) == 2)
    drained = group.name.split("+")[1]
    made.follow(cards, drained=[drained])
    assert not [name for name in shown(made) if drained in name.split("+")]
    assert sorted(filter(None, shown(made).values())) == [LARGE, SMALL]
    made.follow(cards)
    assert sorted(filter(None, shown(made).values())) == [LARGE, SMALL, SMALL]


def test_in_a_fleet_without_a_plan_a_drained_worker_is_missing_and_no_other_moves(tmp_path: Path) -> None:
    made, _, cards = mender(settings(tmp_path, "sim"))
    assert [berth.name for berth in made.follow(cards, drained=["gpu2"]).ended] == ["gpu2"]
    assert [berth.name for berth in made.follow(cards).started] == ["gpu2"]


def test_a_card_that_is_away_for_a_moment_changes_nothing() -> None:
    """Nor one that flaps; and one that was never there must stay for as long."""
    card = PlanCard(id="a", index=0, kind="card", arch="gfx906", vram_bytes=1)
    gone, fresh = replace(card, trouble=LOST), replace(card, id="b", index=1)
    settling = Settling({"a": card}, settle_s=10)
    assert settling.at(0, {"a": gone}) == {"a": card}
    assert settling.at(9, {"a": gone}) == {"a": card}
    assert settling.at(9.5, {"a": card}) == {"a": card}
    assert settling.at(12, {"a": gone, "b": fresh}) == {"a": card}
    assert settling.at(22, {"a": gone, "b": fresh}) == {"a": gone, "b": fresh}
    assert settling.at(23, {"a": card, "b": fresh})["a"] == gone


def test_cards_keep_the_number_that_they_were_first_seen_with(tmp_path: Path) -> None:
    """A driver numbers them anew when one has fallen off; a new one gets a number of its own."""

    class Shifted(SimulatedDevices):
        def found(self) -> tuple[Device, ...]:
            found = super().found()
            return tuple(replace(one, index=at) for at, one in enumerate(found) if one.id != "simulated-0")

        def read(self, device: Device) -> Reading:
            return Reading(state="ok")

    seen = settings(tmp_path, "mistral-7b:int4", count=3)
    known = {card.id: card for card in post(seen).cards if card.id != "simulated-2"}
    looked = CardWatch(Shifted("3xRadeonVII", tmp_path), known, most=8).look()
    assert {name: card.index for name, card in looked.items()} == {
        "simulated-0": 0,
        "simulated-1": 1,
        "simulated-2": 2,
    }
    assert looked["simulated-0"].trouble == LOST
    assert not looked["simulated-1"].trouble
