"""Whatever cards are lost, come back or are left out: a healed plan disturbs nobody whom it need not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.property.test_plan_properties import machines, wanted
from viiwork.placement.cards import PlanCard
from viiwork.placement.grouping import Bounds, group_for
from viiwork.placement.healing import Healed, heal
from viiwork.placement.plan import Placement, plan
from viiwork.placement.wish import Wish

BOUNDS = Bounds(engine="vllm", utilization=0.9)
Lost = frozenset[int]


def cards_without(cards: Sequence[PlanCard], lost: Lost) -> tuple[PlanCard, ...]:
    return tuple(replace(card, trouble="gone") if card.index in lost else replace(card, trouble="") for card in cards)


def begun(wishes: Sequence[Wish], cards: Sequence[PlanCard]) -> tuple[Placement, ...]:
    return plan(wishes, cards_without(cards, frozenset())).placements


def healed(
    wishes: Sequence[Wish],
    cards: Sequence[PlanCard],
    lost: Lost,
    *,
    current: Sequence[Placement],
    home: Sequence[Placement],
) -> Healed:
    return heal(wishes, cards_without(cards, lost), current=current, home=home, bounds=BOUNDS)


def keys(placements: Sequence[Placement]) -> Counter[tuple[str, tuple[str, ...]]]:
    return Counter((each.model, tuple(card.id for card in each.cards)) for each in placements)


def counts(placements: Sequence[Placement]) -> Counter[str]:
    return Counter(each.model for each in placements)


def served(wishes: Sequence[Wish], placements: Sequence[Placement]) -> tuple[int, int]:
    """How many models, and how many of the replicas that were asked for."""
    have = counts(placements)
    return len(have), sum(min(wish.replicas, have[wish.shape.name]) for wish in wishes)


@st.composite
def losses(draw: st.DrawFn) -> tuple[tuple[Wish, ...], tuple[PlanCard, ...], list[Lost]]:
    """A machine, what is wanted of it, and which cards are away at one look after the other."""
    wishes, cards = draw(wanted()), draw(machines())
    away = st.frozensets(st.integers(0, max(0, len(cards) - 1)), max_size=3)
    return wishes, cards, draw(st.lists(away, min_size=1, max_size=4))


@given(losses())
@settings(max_examples=30, deadline=None)
def test_no_card_is_given_twice_and_no_lost_one_at_all(
    story: tuple[Sequence[Wish], Sequence[PlanCard], list[Lost]],
) -> None:
    wishes, cards, looks = story
    home = current = begun(wishes, cards)
    for lost in looks:
        found = healed(wishes, cards, lost, current=current, home=home)
        given_out = [card.id for each in found.placements for card in each.cards]
        assert len(given_out) == len(set(given_out))
        assert not {f"c{index}" for index in lost} & {card.id for each in found.plan.placements for card in each.cards}
        current = found.placements


@given(losses())
@settings(max_examples=30, deadline=None)
def test_nobody_moves_unless_a_model_is_served_or_reaches_its_least_number_by_that(
    story: tuple[Sequence[Wish], Sequence[PlanCard], list[Lost]],
) -> None:
    """After a loss; and who moves was to spare."""
    wishes, cards, (lost, *_) = story
    home = begun(wishes, cards)
    found = healed(wishes, cards, lost, current=home, home=home).plan.placements
    stayed = [each for each in home if not {card.index for card in each.cards} & lost]
    moved = keys(stayed) - keys(found)
    if moved:
        assert served(wishes, found) > served(wishes, stayed)
        assert all(counts(found)[model] >= 1 for model, _ in moved)


@given(losses())
@settings(max_examples=30, deadline=None)
def test_a_model_that_nobody_serves_any_more_goes_before_others_spare_replicas(
    story: tuple[Sequence[Wish], Sequence[PlanCard], list[Lost]],
) -> None:
    wishes, cards, (lost, *_) = story
    home = begun(wishes, cards)
    found = healed(wishes, cards, lost, current=home, home=home).plan
    have = counts(found.placements)
    for wish in wishes:
        for other in found.placements if not have[wish.shape.name] else ():
            if have[other.model] > 1:
                assert group_for(wish, [*found.spare, *other.cards], bounds=BOUNDS) is None


@given(losses())
@settings(max_examples=30, deadline=None)
def test_once_all_cards_are_back_the_plan_is_again_what_it_was_or_as_good(
    story: tuple[Sequence[Wish], Sequence[PlanCard], list[Lost]],
) -> None:
    wishes, cards, looks = story
    home = current = begun(wishes, cards)
    for lost in (*looks, frozenset[int]()):
        found = healed(wishes, cards, lost, current=current, home=home)
        current = found.placements
    assert not found.waiting
    assert served(wishes, current) >= served(wishes, home)
    assert len(current) >= len(home) or served(wishes, current) > served(wishes, home)


@given(losses())
@settings(max_examples=20, deadline=None)
def test_what_nothing_happens_to_stays_as_it_is(story: tuple[Sequence[Wish], Sequence[PlanCard], list[Lost]]) -> None:
    """Asked again, the answer is the same; and nothing lost is nothing changed."""
    wishes, cards, (lost, *_) = story
    home = begun(wishes, cards)
    assert keys(home) <= keys(healed(wishes, cards, frozenset(), current=home, home=home).placements)
    once = healed(wishes, cards, lost, current=home, home=home)
    again = healed(wishes, cards, lost, current=once.placements, home=home)
    assert keys(once.placements) == keys(again.placements)
