"""Which models go on which cards. Pure: wishes and cards in, replicas, spare cards and refusals out.

Replicas first: a model that fits on one card gets one a replica, and only what does not is split over a group.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from viiwork.placement.allotting import Allotment, Known, allot, chips_for
from viiwork.placement.cards import PlanCard
from viiwork.placement.grouping import Bounds, Group, Split, layout_on
from viiwork.placement.reasons import on, remarks_on, split_of, why_so
from viiwork.placement.refusal import Refusal
from viiwork.placement.remedies import counted, lacking
from viiwork.placement.shortfall import Shortfall
from viiwork.placement.split import Server
from viiwork.placement.vram import UTILIZATION, Fit
from viiwork.placement.wish import Wish, narrower, worded


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """One replica: one worker with an engine on these cards."""

    model: str
    stored: str
    """How its weights are: `fp16`, `int4`."""
    cards: tuple[PlanCard, ...]
    split: Split
    tp: int
    pp: int
    fit: Fit
    """Of one card of it."""
    max_model_len: int
    why: str
    """Why so and not otherwise, for a person."""

    @property
    def name(self) -> str:
        """`gpu0+gpu1`."""
        return on(self.cards)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What runs where, what is over, and what cannot be."""

    placements: tuple[Placement, ...]
    spare: tuple[PlanCard, ...]
    refusals: tuple[Refusal, ...]
    warnings: tuple[str, ...]


def plan(
    wishes: Sequence[Wish],
    cards: Sequence[PlanCard],
    *,
    engine: Server = "vllm",
    utilization: float = UTILIZATION,
    known: Known | None = None,
) -> Plan:
    """Every model once if that can be, then each one's least number of replicas, then what is left by demand.

    What is not known to work is warned of, what is known not to work is refused. The order of the cards has no effect.
    """
    usable = sorted((card for card in cards if not card.trouble), key=lambda card: (card.index, card.id))
    allowed = [chips_for(wish, usable, known) for wish in wishes]
    found = allot(wishes, usable, allowed=allowed, bounds=Bounds(engine=engine, utilization=utilization))
    return plan_of(found, cards, known)


def plan_of(found: Allotment, cards: Sequence[PlanCard], known: Known | None) -> Plan:
    """What was given out of these cards, with all that is to be said of it."""
    usable = sorted((card for card in cards if not card.trouble), key=lambda card: (card.index, card.id))
    return Plan(
        placements=_placements(found, known),
        spare=tuple(found.free),
        refusals=tuple(Shortfall(found, wish, usable, known).refusal() for wish in lacking(found)),
        warnings=(*_left_out(cards), *_unknown(found, known), *_remarks(found)),
    )


def _placements(found: Allotment, known: Known | None) -> tuple[Placement, ...]:
    return tuple(_placement(wish, group, found.bounds, known) for wish, group in _given(found))


def _placement(wish: Wish, group: Group, bounds: Bounds, known: Known | None) -> Placement:
    why = (why_so(wish, group, bounds=bounds), _narrower(wish, group, bounds, known))
    return Placement(
        model=wish.shape.name,
        stored=wish.shape.quantization.label,
        cards=group.cards,
        split=split_of(group, bounds=bounds),
        tp=group.layout.tp,
        pp=group.layout.pp,
        fit=group.layout.fit,
        max_model_len=wish.max_model_len,
        why=" ".join(sentence for sentence in why if sentence),
    )


def _narrower(wish: Wish, group: Group, bounds: Bounds, known: Known | None) -> str:
    """With which weights fewer cards would do; empty where one does already."""
    cards, least, found = sorted(group.cards, key=lambda card: card.vram_bytes), len(group.cards), []
    for each in narrower(wish, engine=bounds.engine):
        layouts = (layout_on(each, cards[:count], bounds=bounds) for count in range(1, least))
        count = next((at for at, layout in enumerate(layouts, start=1) if layout is not None and layout.sound), least)
        if count < least and chips_for(each, cards, known):
            least = count
            found.append(f"{counted(count)} {worded(each)}")
    return f"It would take {', '.join(found)}." if found else ""


def _given(found: Allotment) -> Iterator[tuple[Wish, Group]]:
    for wish, groups in zip(found.wishes, found.given, strict=True):
        for group in groups:
            yield wish, group


def _left_out(cards: Sequence[PlanCard]) -> Iterator[str]:
    for card in sorted(cards, key=lambda each: (each.index, each.id)):
        if card.trouble:
            yield f"{card.label} is left out: {card.trouble}."


def _unknown(found: Allotment, known: Known | None) -> Iterator[str]:
    """Once a model and chip."""
    if known is None:
        return
    pairs = dict.fromkeys((wish.shape, group.cards[0].arch) for wish, group in _given(found))
    for shape, arch in pairs:
        said = known(shape, arch)
        if said.answer == "unknown":
            yield f"{shape.name} on {arch} is not known to work: {said.why} (as of {said.as_of:%Y-%m})."


def _remarks(found: Allotment) -> Iterator[str]:
    for wish, group in _given(found):
        yield from remarks_on(wish, group, bounds=found.bounds)
