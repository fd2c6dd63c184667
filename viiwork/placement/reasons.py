"""Why a replica lies as it does, and what its owner should know of it, in sentences."""

from __future__ import annotations

from collections.abc import Sequence

from viiwork.placement.cards import PlanCard
from viiwork.placement.grouping import FAST_BYTES_S, Bounds, Group, Layout, Split, fast, layout_on, measure
from viiwork.placement.rank import GIB
from viiwork.placement.shape import WEIGHT_BYTES, ModelShape
from viiwork.placement.split import splits
from viiwork.placement.wish import Wish, narrower, worded


def split_of(group: Group, *, bounds: Bounds) -> Split:
    """Its name."""
    tp, pp = group.layout.tp, group.layout.pp
    if tp * pp == 1:
        return "one card"
    if bounds.engine == "llama.cpp":
        return "layer split"
    if tp > 1 and pp > 1:
        return "tensor and pipeline parallel"
    return "tensor parallel" if tp > 1 else "pipeline parallel"


def why_so(wish: Wish, group: Group, *, bounds: Bounds) -> str:
    """Why on so many cards, and why split so."""
    if len(group.cards) == 1:
        return "It fits on one card: a replica each."
    sentences = (_why_many(wish, group, bounds), _why_split(wish, group, bounds), _why_smallest(group))
    return " ".join(sentence for sentence in sentences if sentence)


def remarks_on(wish: Wish, group: Group, *, bounds: Bounds) -> tuple[str, ...]:
    """What its owner should know of it."""
    name, found = f"{wish.shape.name} on {on(group.cards)}", group.layout
    documents = found.fit.in_flight
    if not found.sound:
        return (f"{name}: {documents} in flight for {found.pp} stages, so that cards stand still in turn.",)
    if documents == 1:
        return (f"{name}: one document of {wish.max_model_len:,} tokens at a time{_more(wish, group, bounds)}.",)
    return ()


def _more(wish: Wish, group: Group, bounds: Bounds) -> str:
    """With which weights more than one at a time would fit."""
    for each in narrower(wish, engine=bounds.engine):
        layout = layout_on(each, group.cards, bounds=bounds)
        if layout is not None and layout.fit.in_flight > 1:
            return f"; {layout.fit.in_flight} {worded(each)}"
    return ""


def on(cards: Sequence[PlanCard]) -> str:
    """`gpu0+gpu1`: as its worker is called."""
    return "+".join(card.label for card in cards)


def exchanged_bytes(shape: ModelShape, *, tp: int) -> float:
    """What each card of a tensor-parallel group sends a token: two all-reduces a layer, of a vector as wide as it is.

    A ring sends 2(n-1)/n of that. Source: Patarasuk and Yuan, "Bandwidth optimal all-reduce algorithms" (2009).
    """
    return 2 * (tp - 1) / tp * 2 * shape.layers * shape.hidden * WEIGHT_BYTES


def _why_many(wish: Wish, group: Group, bounds: Bounds) -> str:
    count = len(group.cards)
    smallest = sorted(group.cards, key=lambda card: card.vram_bytes)
    fewer = ((each, layout_on(wish, smallest[:each], bounds=bounds)) for each in range(1, count))
    held = next(((each, layout) for each, layout in fewer if layout is not None), None)
    if held is not None:
        return _why_more(*held, count, group.layout)
    vram_bytes = min(card.vram_bytes for card in group.cards)
    alone = measure(wish, vram_bytes=vram_bytes, tp=1, pp=1, engine=bounds.engine, utilization=bounds.utilization)
    usable = vram_bytes * bounds.utilization / GIB
    least = "" if count == 2 else f" It takes {count} cards."
    return f"It needs {alone.needed_bytes / GIB:.1f} GiB, and of a card {usable:.1f} may be used.{least}"


def _why_more(fewer: int, held: Layout, count: int, layout: Layout) -> str:
    """Why not the fewest cards that hold it."""
    few, many = held.fit.in_flight, layout.fit.in_flight
    if many > few:
        documents = "1 document" if few == 1 else f"{few} documents"
        return f"{fewer} cards hold it with {documents} in flight, {count} with {many}."
    rest = "need none" if layout.pp == 1 else f"one of {layout.pp}"
    return f"{fewer} cards hold it in a pipeline of {held.pp}, {count} {rest}."


def _why_split(wish: Wish, group: Group, bounds: Bounds) -> str:
    layout, count, shape = group.layout, len(group.cards), wish.shape
    if bounds.engine == "llama.cpp":
        return "llama.cpp splits by layers, which slow links bear."
    if layout.pp == 1:
        return _why_tensor(shape, group)
    if indivisible := splits(shape, tp=count):
        return indivisible
    return _why_no_tensor(wish, group, layout, bounds) if fast(group.cards) else _why_layers(shape, group)


def _why_layers(shape: ModelShape, group: Group) -> str:
    speed, count = _slowest(group.cards) or 0.0, len(group.cards)
    most = speed * 1e9 / exchanged_bytes(shape, tp=count)
    rest = "so its layers are split" if group.layout.tp == 1 else "but layers alone do not fit"
    return f"The slowest link, {speed:.1f} GB/s, lets tensor parallel pass {most:,.0f} tokens/s at most: {rest}."


def _why_tensor(shape: ModelShape, group: Group) -> str:
    speed = _slowest(group.cards)
    if speed is None:
        return f"Tensor parallel, as if all links carried {FAST_BYTES_S / 1e9:g} GB/s: nobody tells of them."
    if fast(group.cards):
        return f"The slowest link, {speed:.1f} GB/s, carries tensor parallel."
    most = speed * 1e9 / exchanged_bytes(shape, tp=len(group.cards))
    return f"Layers alone do not fit so. Tensor parallel over {speed:.1f} GB/s: at most {most:,.0f} tokens/s."


def _why_no_tensor(wish: Wish, group: Group, layout: Layout, bounds: Bounds) -> str:
    vram_bytes, count = min(card.vram_bytes for card in group.cards), len(group.cards)
    tensor = measure(wish, vram_bytes=vram_bytes, tp=count, pp=1, engine=bounds.engine, utilization=bounds.utilization)
    if not tensor.fits:
        return f"By tensor parallel it would need {tensor.needed_bytes / GIB:.1f} GiB a card."
    return f"By tensor parallel there were {tensor.in_flight} documents in flight, so {layout.fit.in_flight}."


def _why_smallest(group: Group) -> str:
    if not group.mixed:
        return ""
    least = min(card.vram_bytes for card in group.cards)
    larger = [card for card in group.cards if card.vram_bytes > least]
    return f"Of {on(larger)} no more is used than the smallest card has, {least / GIB:.1f} GiB."


def _slowest(cards: Sequence[PlanCard]) -> float | None:
    """In GB/s, of the links that tell."""
    return min((card.link_bytes_s / 1e9 for card in cards if card.link_bytes_s is not None), default=None)
