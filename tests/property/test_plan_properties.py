"""Whatever is wanted on whatever cards: a plan keeps to them, and never serves less than the simplest planner would."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from viiwork.devices import Link
from viiwork.placement.cards import PlanCard
from viiwork.placement.grouping import Bounds, group_for, layout_on
from viiwork.placement.plan import Plan, plan
from viiwork.placement.split import Server
from viiwork.placement.vram import RADEON_VII_BYTES, fit
from viiwork.placement.wish import Wish, read_wish

GIB = 1024**3
UTILIZATION = 0.9
NAMES = (
    "mistral-7b", "mistral-7b:int4", "llama-2-7b:int8", "llama-2-13b", "qwen2.5-14b", "qwen2.5-14b:int8",
    "qwen3-30b-a3b:int4", "mixtral-8x7b:int4", "llama-2-70b:int4", "llama-2-70b",
)  # fmt: skip
SIZES = (("gfx906", RADEON_VII_BYTES), ("gfx906", 32 * GIB), ("gfx90a", 64 * GIB), ("sm_86", 24 * GIB))
LINKS = (None, Link(8.0, 16), Link(8.0, 1), Link(16.0, 8))
engines = st.sampled_from(["vllm", "llama.cpp"])


@st.composite
def machines(draw: st.DrawFn) -> tuple[PlanCard, ...]:
    """Up to twelve cards, mostly of one sort."""
    sorts = draw(st.lists(st.sampled_from(SIZES), min_size=1, max_size=3))
    count = draw(st.integers(0, 12))
    cards = []
    for index in range(count):
        arch, vram_bytes = draw(st.sampled_from(sorts))
        link, trouble = draw(st.sampled_from(LINKS)), draw(st.sampled_from(["", "", "", "in reset"]))
        cards.append(
            PlanCard(
                id=f"c{index}", index=index, kind="card", arch=arch, vram_bytes=vram_bytes, link=link, trouble=trouble
            )
        )
    return tuple(cards)


def rig(count: int) -> tuple[PlanCard, ...]:
    """Nothing but Radeon VII."""
    return tuple(
        PlanCard(id=f"c{n}", index=n, kind="Radeon VII", arch="gfx906", vram_bytes=RADEON_VII_BYTES)
        for n in range(count)
    )


@st.composite
def wanted(draw: st.DrawFn, *, most: int = 3) -> tuple[Wish, ...]:
    """Different models with shares and least numbers."""
    names = draw(st.lists(st.sampled_from(NAMES), min_size=1, max_size=most, unique=True))
    shares, replicas = st.sampled_from([0.5, 1.0, 3.0]), st.integers(1, 3)
    return tuple(replace(read_wish(name), share=draw(shares), replicas=draw(replicas)) for name in names)


def fits(wish: Wish, cards: Sequence[PlanCard], engine: Server) -> bool:
    """Any split over these that has a document for each stage."""
    vram_bytes, count = min(card.vram_bytes for card in cards), len(cards)
    splits = [(tp, count // tp) for tp in range(1, count + 1) if count % tp == 0]
    found = (
        (pp, fit(wish.shape, vram_bytes=vram_bytes, tp=tp, pp=pp, engine=engine, max_model_len=wish.max_model_len))
        for tp, pp in splits
    )
    return any(one.fits and one.in_flight >= pp for pp, one in found)


def greedy(wishes: Sequence[Wish], cards: Sequence[PlanCard], engine: Server, *, rounds: int) -> list[int]:
    """The simplest planner: in the order given, the first cards of one sort that hold it, as few as can be."""
    free, served = [card for card in cards if not card.trouble], [0] * len(wishes)
    for _ in range(rounds):
        for place, wish in enumerate(wishes):
            taken = first_fit(wish, free, engine)
            served[place] += bool(taken)
            free = [card for card in free if card not in taken]
    return served


def first_fit(wish: Wish, free: Sequence[PlanCard], engine: Server) -> Sequence[PlanCard]:
    for count in range(1, len(free) + 1):
        for card in free:
            alike = [each for each in free if (each.arch, each.vram_bytes) == (card.arch, card.vram_bytes)][:count]
            if len(alike) == count and fits(wish, alike, engine):
                return alike
    return []


def counts(made: Plan) -> Counter[str]:
    return Counter(each.model for each in made.placements)


@settings(max_examples=60, deadline=None)
@given(cards=machines(), wishes=wanted(), engine=engines)
def test_no_card_is_used_twice_or_over_its_memory_or_while_it_is_in_trouble(
    cards: tuple[PlanCard, ...], wishes: tuple[Wish, ...], engine: Server
) -> None:
    """And each is either used, spare, or in trouble; a group is of one chip."""
    made = plan(wishes, cards, engine=engine, utilization=UTILIZATION)
    used = [card.id for each in made.placements for card in each.cards] + [card.id for card in made.spare]
    assert sorted(used) == sorted(card.id for card in cards if not card.trouble)
    for each in made.placements:
        assert len(each.cards) == each.tp * each.pp
        assert len({card.arch for card in each.cards}) == 1
        assert each.fit.fits
        assert each.fit.needed_bytes <= UTILIZATION * min(card.vram_bytes for card in each.cards)


@settings(max_examples=60, deadline=None)
@given(cards=machines(), wishes=wanted(), engine=engines)
def test_every_wish_is_met_or_refused_and_nothing_that_is_spare_could_serve(
    cards: tuple[PlanCard, ...], wishes: tuple[Wish, ...], engine: Server
) -> None:
    """A refusal has a reason, and so has every placement."""
    made = plan(wishes, cards, engine=engine, utilization=UTILIZATION)
    served = counts(made)
    lacking = {wish.shape.name for wish in wishes if served[wish.shape.name] < wish.replicas}
    assert {refusal.model for refusal in made.refusals} == lacking
    assert all(refusal.why for refusal in made.refusals)
    assert all(each.why for each in made.placements)
    for wish in wishes:
        assert group_for(wish, made.spare, bounds=Bounds(engine=engine, utilization=UTILIZATION)) is None


@settings(max_examples=80, deadline=None)
@given(cards=machines(), wishes=wanted(), engine=engines)
def test_no_fewer_models_are_served_than_by_the_simplest_planner(
    cards: tuple[PlanCard, ...], wishes: tuple[Wish, ...], engine: Server
) -> None:
    """Once each, whatever their order, shares and least numbers."""
    made = plan(wishes, cards, engine=engine, utilization=UTILIZATION)
    assert len(counts(made)) >= sum(map(bool, greedy(wishes, cards, engine, rounds=1)))


@settings(max_examples=80, deadline=None)
@given(cards=machines(), wishes=wanted(most=1), engine=engines)
def test_one_model_has_no_fewer_replicas_than_by_the_simplest_planner(
    cards: tuple[PlanCard, ...], wishes: tuple[Wish, ...], engine: Server
) -> None:
    """As many as the machine holds."""
    made = plan(wishes, cards, engine=engine, utilization=UTILIZATION)
    assert len(made.placements) >= greedy(wishes, cards, engine, rounds=len(cards))[0]


@settings(max_examples=60, deadline=None)
@given(cards=machines(), wishes=wanted(), engine=engines, data=st.data())
def test_the_order_of_the_cards_changes_nothing(
    cards: tuple[PlanCard, ...], wishes: tuple[Wish, ...], engine: Server, data: st.DataObject
) -> None:
    """The same plan, card by card; and as many replicas when their numbers are dealt out anew."""
    mixed = tuple(data.draw(st.permutations(cards)))
    made = plan(wishes, cards, engine=engine)
    assert plan(wishes, mixed, engine=engine) == made
    dealt = tuple(replace(card, index=index, id=f"d{index}") for index, card in enumerate(mixed))
    assert counts(plan(wishes, dealt, engine=engine)) == counts(made)


@settings(max_examples=60, deadline=None)
@given(count=st.integers(1, 12), wishes=wanted(), engine=engines)
def test_of_equal_cards_each_group_has_neighbours(count: int, wishes: tuple[Wish, ...], engine: Server) -> None:
    """Wherever single cards went while the groups were made."""
    for each in plan(wishes, rig(count), engine=engine).placements:
        numbers = [card.index for card in each.cards]
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))


@settings(max_examples=60, deadline=None)
@given(cards=machines(), wishes=wanted(), engine=engines)
def test_which_of_equal_cards_a_group_gets_changes_nothing_else(
    cards: tuple[PlanCard, ...], wishes: tuple[Wish, ...], engine: Server
) -> None:
    """Each replica has cards as good as those that its split was chosen for."""
    bounds = Bounds(engine=engine, utilization=UTILIZATION)
    by_name = {wish.shape.name: wish for wish in wishes}
    for each in plan(wishes, cards, engine=engine, utilization=UTILIZATION).placements:
        found = layout_on(by_name[each.model], each.cards, bounds=bounds)
        assert found is not None
        assert (found.tp, found.pp, found.fit) == (each.tp, each.pp, each.fit)
        assert [card.index for card in each.cards] == sorted(card.index for card in each.cards)


@pytest.mark.parametrize("count", [3, 4, 5, 8, 10, 16])
def test_equal_cards_hold_at_least_what_the_simplest_planner_makes_of_them(count: int) -> None:
    """For each model alone, on every usual size of machine."""
    for name in NAMES:
        wish, cards = read_wish(name), rig(count)
        assert len(plan([wish], cards).placements) >= greedy([wish], cards, "vllm", rounds=count)[0]
