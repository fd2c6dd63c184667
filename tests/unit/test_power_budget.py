"""How watts are dealt out, who may load, and what a step of control takes away."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from viiwork.devices.base import Reading
from viiwork.power.budget import IDLE_W, Allotment, PoweredCard, allot, may_load, room_w, wall_w
from viiwork.power.control import Limits, control, to_write

RADEON = Reading("ok", power_w=20, cap_w=250, cap_min_w=100, cap_max_w=300, cap_default_w=250)


def cards(count: int, *, writable: bool = True, **changes: object) -> list[PoweredCard]:
    reading = replace(RADEON, **changes)  # type: ignore[arg-type] # a test's own mistakes are found by running it
    return [PoweredCard(f"c{n}", f"gpu{n}", reading, writable) for n in range(count)]


def drawing(some: list[PoweredCard], *watts: float | None, caps: Limits | None = None) -> list[PoweredCard]:
    """The same cards, drawing so much, each under the cap that it was given."""
    held = caps.caps if caps else {}
    return [
        replace(card, reading=replace(card.reading, power_w=w, cap_w=held.get(card.id, card.reading.cap_w)))
        for card, w in zip(some, watts, strict=True)
    ]


def test_the_base_and_the_loss_in_the_supply_come_off_the_budget() -> None:
    """400 W at the wall for ten idle cards."""
    assert room_w(1400, base_watts=150, supply_efficiency=0.9) == pytest.approx(1125)
    assert wall_w(1125, base_watts=150, supply_efficiency=0.9) == pytest.approx(1400)
    assert room_w(100, base_watts=150, supply_efficiency=0.9) == 0
    assert room_w(None, base_watts=150, supply_efficiency=0.9) is None
    assert wall_w(10 * IDLE_W, base_watts=150, supply_efficiency=0.9) == pytest.approx(400, rel=0.1)


def test_without_a_budget_all_cards_run_at_the_wanted_cap() -> None:
    assert set(allot(cards(8), room_w=None).caps.values()) == {250}
    assert set(allot(cards(8), room_w=None, cap_w=180).caps.values()) == {180}
    assert len(allot(cards(8, writable=False), room_w=None).start) == 8


@pytest.mark.parametrize(("wish", "cap"), [(50, 100), (180, 180), (400, 300)])
def test_a_wanted_cap_is_held_to_what_the_card_allows(wish: float, cap: float) -> None:
    assert set(allot(cards(2), room_w=None, cap_w=wish).caps.values()) == {cap}


def test_where_caps_can_be_written_all_are_lowered_to_one_level() -> None:
    found = allot(cards(8), room_w=1125, cap_w=180)
    assert set(found.caps.values()) == {140}
    assert len(found.start) == 8
    assert found.why == "the budget leaves 1125 W for cards: their caps are lowered"


def test_below_their_lowest_caps_fewer_cards_run() -> None:
    """Five at 100 W and three at rest are 560."""
    found = allot(cards(8), room_w=600)
    assert found.start == ("gpu0", "gpu1", "gpu2", "gpu3", "gpu4")
    assert sorted(found.caps.values()) == [100] * 3 + [108] * 5, "and those that do not run have their lowest"
    assert "3 of the engines cannot run" in found.why


def test_where_caps_cannot_be_written_as_many_cards_run_as_fit() -> None:
    """Four at 250 W and four at rest are 1,080."""
    found = allot(cards(8, writable=False), room_w=1125)
    assert found.start == ("gpu0", "gpu1", "gpu2", "gpu3")
    assert found.caps == {}
    assert found.most_w == 1080


def test_caps_that_somebody_else_has_lowered_let_more_cards_run() -> None:
    assert len(allot(cards(8, writable=False, cap_w=140), room_w=1125).start) == 8


def test_a_card_that_tells_nothing_counts_as_the_hungriest_of_its_kind() -> None:
    blank = [PoweredCard("c0", "gpu0", Reading("ok"), cap_writable=False)]
    assert allot(blank, room_w=299).start == ()
    assert allot(blank, room_w=300).start == ("gpu0",)


def test_a_card_with_an_empty_lowest_cap_goes_down_to_half_its_default() -> None:
    assert allot(cards(1, cap_min_w=None), room_w=130).caps == {"c0": 130}
    assert allot(cards(1, cap_min_w=None), room_w=124).start == ()


def test_an_engine_over_two_cards_runs_whole_or_not_at_all() -> None:
    pair = [replace(card, engine="gpu0+gpu1") for card in cards(2)]
    assert allot(pair, room_w=199).start == ()
    assert allot(pair, room_w=200).start == ("gpu0+gpu1",)
    mixed = [*pair, *cards(3)[2:]]
    assert allot(mixed, room_w=199).start == ("gpu2",), "and keeps no smaller one from running"


def test_what_runs_already_goes_on_before_others_start() -> None:
    assert allot(cards(4, writable=False), room_w=540, running={"gpu2", "gpu3"}).start == ("gpu2", "gpu3")


def test_a_card_off_the_bus_takes_nothing() -> None:
    gone = [*cards(1), PoweredCard("c9", "gpu9", Reading("gone"), cap_writable=True)]
    assert allot(gone, room_w=250).caps == {"c0": 250}


CARD = st.builds(
    lambda n, low, more, default, writable, pair: PoweredCard(
        f"c{n}",
        f"e{n // 2 if pair else n}",
        replace(RADEON, cap_min_w=low, cap_max_w=low + more, cap_default_w=low + default * more, cap_w=low + more),
        writable,
    ),
    st.integers(0, 1000),
    st.floats(21, 200),
    st.floats(1, 200),
    st.floats(0, 1),
    st.booleans(),
    st.booleans(),
)


@given(st.lists(CARD, max_size=10, unique_by=lambda card: card.id), st.floats(0, 4000), st.floats(50, 400))
def test_nothing_is_promised_that_does_not_fit(some: list[PoweredCard], room: float, wish: float) -> None:
    """And every cap is one that its card takes."""
    found = allot(some, room_w=room, cap_w=wish)
    assert found.most_w <= max(room, IDLE_W * len(some)) + 1e-6
    for card in some:
        if card.id in found.caps:
            assert (card.reading.cap_min_w or 0) - 1e-6 <= found.caps[card.id] <= (card.reading.cap_max_w or 0) + 1e-6
        assert (card.id in found.caps) == card.cap_writable
        assert not card.cap_writable or card.engine in found.start or found.caps[card.id] == card.lowest_w


def test_no_engine_loads_before_its_caps_hold_and_not_all_at_once() -> None:
    some = cards(3)
    found = allot(some, room_w=None, cap_w=180)
    assert may_load(found, some, loading=(), loaded=()) == ()
    held = drawing(some, 20, 20, 20, caps=Limits(found.caps))
    assert may_load(found, held, loading=(), loaded=()) == ("gpu0",)
    assert may_load(found, held, loading={"gpu0"}, loaded=()) == ()
    assert may_load(found, held, loading={"gpu1"}, loaded={"gpu0"}, at_once=2) == ("gpu2",)
    assert may_load(Allotment({}, ("gpu0",), 20), some, loading=(), loaded=()) == ("gpu0",), "no cap is ours to write"


def test_a_budget_that_is_kept_changes_nothing() -> None:
    some = cards(8, cap_w=140, power_w=140)
    found = allot(some, room_w=1125, cap_w=180)
    limits = control(some, allotment=found, room_w=1125)
    assert (limits.caps, set(limits.shares.values()), limits.why) == (found.caps, {1.0}, "")
    assert to_write(some, limits) == {}


def test_cards_that_draw_more_than_their_caps_get_lower_ones_at_once() -> None:
    """A tenth more than the cap, and the step after keeps the budget."""
    some = cards(8, cap_w=140, power_w=154)
    found = allot(some, room_w=1125, cap_w=180)
    limits = control(some, allotment=found, room_w=1125)
    assert limits.over_w == pytest.approx(107)
    assert sum(1.1 * cap for cap in limits.caps.values()) <= 1125
    assert limits.why == "the cards drew 107 W more than the budget leaves them"


def test_a_cap_that_the_driver_forgot_is_written_again_and_costs_the_others_nothing() -> None:
    some = cards(8, cap_w=140, power_w=140)
    found = allot(some, room_w=1125, cap_w=180)
    reset = [replace(some[0], reading=replace(some[0].reading, cap_w=250, power_w=250)), *some[1:]]
    limits = control(reset, allotment=found, room_w=1125, before=Limits(found.caps))
    assert limits.caps == found.caps
    assert to_write(reset, limits) == {"c0": 140}


def test_what_a_card_draws_above_its_cap_is_kept_free_for_it_and_forgotten_slowly() -> None:
    some = cards(8, cap_w=140, power_w=140)
    greedy = [replace(some[0], reading=replace(some[0].reading, power_w=180)), *some[1:]]
    limits = control(greedy, allotment=allot(some, room_w=1125), room_w=1125)
    assert limits.excess == {"c0": 40}
    assert allot(some, room_w=1125, excess=limits.excess).most_w <= 1085
    for _ in range(720):
        limits = control(some, allotment=allot(some, room_w=1125), room_w=1125, before=limits)
    assert limits.excess["c0"] == pytest.approx(20, abs=1)


def test_a_smaller_budget_takes_hold_in_one_step_and_a_larger_one_in_several() -> None:
    some = cards(4, cap_w=180, power_w=180)
    lower = allot(some, room_w=500, cap_w=180)
    limits = control(some, allotment=lower, room_w=500, before=Limits(allot(some, room_w=None, cap_w=180).caps))
    assert sum(limits.caps.values()) <= 500
    steps = 0
    while sum(limits.caps.values()) < 720 and steps < 99:
        drawn = drawing(some, *limits.caps.values(), caps=limits)
        limits = control(drawn, allotment=allot(some, room_w=800, cap_w=180), room_w=800, before=limits)
        steps += 1
    assert 5 <= steps <= 20


def test_where_no_cap_can_be_written_slots_go_down_instead() -> None:
    some = cards(4, writable=False, cap_w=200, power_w=240)
    found = allot(some, room_w=900)
    limits = control(some, allotment=found, room_w=900)
    assert limits.caps == {}
    assert list(limits.shares.values()) == pytest.approx([1 - (960 - 0.98 * 900) / (4 * 220)] * 4)
    easier = control(drawing(some, 200, 200, 200, 200), allotment=found, room_w=900, before=limits)
    assert set(easier.shares.values()) == {1.0}


def test_power_that_nobody_tells_counts_as_much_as_it_may_be() -> None:
    some = drawing(cards(2, cap_w=250), None, 200)
    assert control(some, allotment=allot(some, room_w=None), room_w=400).over_w == 50


def test_a_hot_card_gets_its_lowest_cap() -> None:
    some = cards(2)
    limits = control(some, allotment=allot(some, room_w=None), room_w=None, hot={"c1"})
    assert limits.caps == {"c0": 250, "c1": 100}
    assert control(some, allotment=allot(some, room_w=None), room_w=None, before=limits).caps == {"c0": 250, "c1": 105}


@given(
    st.lists(st.tuples(CARD, st.floats(0, 400)), min_size=1, max_size=10, unique_by=lambda pair: pair[0].id),
    st.floats(0, 4000),
)
def test_one_step_takes_away_all_that_is_too_much_or_all_that_can_be(
    some: list[tuple[PoweredCard, float]], room: float
) -> None:
    """If a cap limits what a card draws, and what it draws goes by its slots."""
    drawn = drawing([card for card, _ in some], *(watts for _, watts in some))
    found = allot(drawn, room_w=None)
    limits = control(drawn, allotment=found, room_w=room)
    after = 0.0
    for card, (_, watts) in zip(drawn, some, strict=True):
        load_w = max(0.0, watts - IDLE_W) * limits.shares[card.engine] + min(watts, IDLE_W)
        after += min(load_w, limits.caps.get(card.id, load_w))
    bottom = sum(card.lowest_w if card.cap_writable else IDLE_W for card in drawn)
    assert after <= max(room, bottom) + 1e-6
