"""Which cards one replica gets, and how it is split over them: one card, else the fewest that make a sound group."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from viiwork.placement.beside import first_of
from viiwork.placement.cards import PlanCard
from viiwork.placement.split import Server
from viiwork.placement.vram import Fit, fit
from viiwork.placement.wish import Wish

Split = Literal["one card", "tensor parallel", "pipeline parallel", "tensor and pipeline parallel", "layer split"]
FAST_BYTES_S = 3e9
"""A link is fast from 4 lanes of PCIe 3 on. An assumption between what was measured: tensor parallelism gains over 8
and 16 lanes (6.5 and 13 GB/s); of fewer nothing is published."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """How a model is split, and what a card then holds."""

    tp: int
    pp: int
    fit: Fit

    @property
    def sound(self) -> bool:
        """Whether each stage has a document to work on: in a pipeline with fewer of them cards stand still."""
        return self.fit.in_flight >= self.pp


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """One replica: cards, and how the model lies on them."""

    cards: tuple[PlanCard, ...]
    layout: Layout

    @property
    def mixed(self) -> bool:
        """Whether its cards differ in memory: then the smallest counts."""
        return len({card.vram_bytes for card in self.cards}) > 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """What holds for all groups of a plan."""

    engine: Server
    utilization: float
    uniform: bool = True
    """Cards of one size go together if they can, even where a mixed group would leave larger ones to others."""


def group_for(wish: Wish, free: Sequence[PlanCard], *, bounds: Bounds) -> Group | None:
    """The best group among these cards, or None: the fewest cards whose pipeline is sound, else the fewest at all."""
    first: Group | None = None
    for count in range(1, len(free) + 1):
        for cards in _choices(wish, free, count, bounds):
            layout = layout_on(wish, cards, bounds=bounds)
            if layout is None:
                continue
            found = Group(cards=numbered(cards), layout=layout)
            if layout.sound:
                return found
            first = first or found
    return first


def numbered(cards: Iterable[PlanCard]) -> tuple[PlanCard, ...]:
    """As their worker is called: by rising numbers."""
    return tuple(sorted(cards, key=lambda card: (card.index, card.id)))


def layout_on(wish: Wish, cards: Sequence[PlanCard], *, bounds: Bounds) -> Layout | None:
    """The best split over exactly these cards: sound before unsound, then by the slowest link; None if none fits."""
    vram_bytes = min(card.vram_bytes for card in cards)
    found = _layouts(wish, vram_bytes, len(cards), fast(cards), bounds)
    return next((each for each in found if each.sound), found[0] if found else None)


def fast(cards: Sequence[PlanCard]) -> bool:
    """Whether the slowest link carries tensor parallelism; one that nobody knows is taken to."""
    return all(card.link_bytes_s is None or card.link_bytes_s >= FAST_BYTES_S for card in cards)


def ways(engine: Server, count: int, *, fast: bool) -> tuple[tuple[int, int], ...]:
    """Tensor x pipeline parallel over so many cards, the preferred first: over fast links as much tensor parallelism as
    can be, over slow ones as little.
    """
    if engine == "llama.cpp":
        return ((1, count),)
    divisors = [tp for tp in range(1, count + 1) if count % tp == 0]
    return tuple((tp, count // tp) for tp in (reversed(divisors) if fast else divisors))


def measure(wish: Wish, *, vram_bytes: int, tp: int, pp: int, engine: Server, utilization: float) -> Fit:
    """What a card of such a group holds of this wish."""
    return fit(
        wish.shape,
        vram_bytes=vram_bytes,
        tp=tp,
        pp=pp,
        engine=engine,
        utilization=utilization,
        max_model_len=wish.max_model_len,
        max_num_seqs=wish.sequences,
    )


@lru_cache(maxsize=8192)
def _layouts(wish: Wish, vram_bytes: int, count: int, fast: bool, bounds: Bounds) -> tuple[Layout, ...]:
    found = (
        Layout(
            tp=tp,
            pp=pp,
            fit=measure(
                wish, vram_bytes=vram_bytes, tp=tp, pp=pp, engine=bounds.engine, utilization=bounds.utilization
            ),
        )
        for tp, pp in ways(bounds.engine, count, fast=fast)
    )
    return tuple(layout for layout in found if layout.fit.fits)


def _choices(wish: Wish, free: Sequence[PlanCard], count: int, bounds: Bounds) -> Iterator[tuple[PlanCard, ...]]:
    """Cards of one chip that hold it together, the smallest memory first; a card alone by the poorest link, for groups
    need the good ones. Of equal cards neighbours are taken.
    """
    alike: list[tuple[PlanCard, ...]] = []
    mixed: list[tuple[PlanCard, ...]] = []
    for arch in sorted({card.arch for card in free}):
        cards = [card for card in free if card.arch == arch]
        for least in sorted({card.vram_bytes for card in cards}):
            enough = [card for card in cards if card.vram_bytes >= least]
            if len(enough) < count or not _layouts(wish, least, count, True, bounds):
                continue  # the links decide which split is best, not whether there is one
            chosen = first_of(enough, count, by=lambda each: _rank(each, count))
            if chosen[0].vram_bytes == least:
                (alike if chosen[-1].vram_bytes == least else mixed).append(chosen)
    both = sorted(alike, key=_size) + sorted(mixed, key=_size)
    yield from both if bounds.uniform else sorted(both, key=_size)


def _size(cards: Sequence[PlanCard]) -> int:
    return cards[0].vram_bytes


def _rank(card: PlanCard, count: int) -> tuple[int, float]:
    speed = FAST_BYTES_S if card.link_bytes_s is None else card.link_bytes_s
    return card.vram_bytes, speed if count == 1 else -speed
