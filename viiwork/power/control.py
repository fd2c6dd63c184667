"""One step of keeping to the budget: what the cards drew in, which limits hold until the next step out. Pure.

Down at once and up in small steps. A step that finds more drawn than there is room for takes it all away: from the
caps of cards whose cap can be written, in proportion to what each draws above its lowest cap; what is left from the
slots of the others. Caps act within milliseconds, so the step after finds the budget kept. What a card was seen to
draw above a cap that held is kept free for it when the room is dealt out again: else its neighbours' work, as it comes
and goes, would exceed the budget anew each time.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from viiwork.power.budget import IDLE_W, Allotment, PoweredCard

RAISED_W = 5.0
RAISED_SHARE = 0.1
"""A step upwards."""
NEAR_W = 0.5
"""Two caps that are as near as that are the same."""
NEVER_QUITE = 1.02
"""Of its cap; what a card draws up to there is the sensor's own error."""
FORGETS = 0.999
"""A step, of what it was seen to draw above its cap: half of it in an hour of steps of 5 s."""
CUT_TO = 0.98
"""Of the room, where anything is taken away at all: a sensor may be off by as much."""
SLACK = 0.03
"""Of the room: so much must be free before anything is raised."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What holds from one step to the next."""

    caps: Mapping[str, float] = field(default_factory=dict)
    """Watts by card."""
    shares: Mapping[str, float] = field(default_factory=dict)
    """Of the slots of each engine that may run, 0 to 1. What is in hand beyond that, or at an engine that is not named,
    is to be given back at once: a budget cannot wait for the longest job."""
    excess: Mapping[str, float] = field(default_factory=dict)
    """Watts that cards were seen to draw above caps that held; `allot` is to know them."""
    over_w: float = 0.0
    """By how much the cards drew more than there was room for."""
    why: str = ""
    """For people; empty while nothing had to be taken away."""


def control(
    cards: Sequence[PoweredCard],
    *,
    allotment: Allotment,
    room_w: float | None,
    before: Limits | None = None,
    hot: Collection[str] = (),
) -> Limits:
    """The limits for the next period. A hot card (by id) gets its lowest cap, as far as its cap can be written."""
    over_w = 0.0 if room_w is None else sum(map(drawn_w, cards)) - room_w
    excess = _excess(cards, before.excess if before else {})
    begun = _begun(allotment, before or Limits(), raising=room_w is None or -over_w > SLACK * room_w)
    cooled = {card.id: card.lowest_w for card in cards if card.id in hot and card.id in begun.caps}
    if room_w is None or over_w <= 0.0:
        return Limits({**begun.caps, **cooled}, begun.shares, excess)
    coming = {card.id: _coming_w(card, begun.caps.get(card.id)) for card in cards}
    keep_w = room_w if sum(coming.values()) <= room_w else room_w * CUT_TO
    cuts = _cuts(cards, begun.caps, coming, over_w=sum(coming.values()) - keep_w)
    caps = {name: min(cap, coming[name]) - cuts[name] if name in cuts else cap for name, cap in begun.caps.items()}
    coming = {name: watts - cuts.get(name, 0.0) for name, watts in coming.items()}
    shares = _shed(cards, begun.shares, coming, over_w=sum(coming.values()) - keep_w)
    why = f"the cards drew {over_w:.0f} W more than the budget leaves them"
    return Limits({**caps, **cooled}, shares, excess, over_w=over_w, why=why)


def drawn_w(card: PoweredCard) -> float:
    """What it draws; where nobody tells, as much as it may. Nothing of one that is off the bus."""
    if card.reading.state == "gone":
        return 0.0
    return card.highest_w if card.reading.power_w is None else card.reading.power_w


def _coming_w(card: PoweredCard, cap_w: float | None) -> float:
    """What it will draw once its cap holds, where a higher one does now: it need give up nothing beyond that."""
    watts, now_w = drawn_w(card), card.reading.cap_w
    return min(watts, cap_w) if cap_w is not None and now_w is not None and now_w > cap_w + NEAR_W else watts


def to_write(cards: Sequence[PoweredCard], limits: Limits) -> dict[str, float]:
    """The caps that do not hold yet, or no more: a driver that starts again forgets them."""
    shown = {card.id: card.reading.cap_w for card in cards if card.reading.state == "ok"}
    wanted = ((name, cap, shown[name]) for name, cap in limits.caps.items() if name in shown)
    return {name: cap for name, cap, now in wanted if now is None or abs(now - cap) > NEAR_W}


def _excess(cards: Sequence[PoweredCard], before: Mapping[str, float]) -> dict[str, float]:
    """What each draws above its cap now, or drew not long ago."""
    found = {name: watts * FORGETS for name, watts in before.items() if watts > NEAR_W}
    for card in cards:
        cap_w, watts = card.reading.cap_w, card.reading.power_w
        if cap_w and watts is not None and watts > cap_w * NEVER_QUITE:
            found[card.id] = max(found.get(card.id, 0.0), watts - cap_w)
    return found


def _begun(allotment: Allotment, before: Limits, *, raising: bool) -> Limits:
    """The limits of before, no higher than what is allotted now, a step higher where there is slack."""
    more_w, more = (RAISED_W, RAISED_SHARE) if raising else (0.0, 0.0)
    caps = {name: min(cap, before.caps.get(name, cap) + more_w) for name, cap in allotment.caps.items()}
    shares = {name: min(1.0, before.shares.get(name, 1.0) + more) for name in allotment.start}
    return Limits(caps, shares)


def _cuts(
    cards: Sequence[PoweredCard], caps: Mapping[str, float], drawn: Mapping[str, float], *, over_w: float
) -> dict[str, float]:
    """What each card whose cap is written gives up, by what it draws above its lowest cap."""
    lowest = {card.id: card.lowest_w for card in cards}
    above = {name: max(0.0, min(cap, drawn.get(name, 0.0)) - lowest.get(name, cap)) for name, cap in caps.items()}
    total = sum(above.values())
    share = min(1.0, max(0.0, over_w) / total) if total else 0.0
    return {name: watts * share for name, watts in above.items() if watts * share > 0.0}


def _shed(
    cards: Sequence[PoweredCard], shares: Mapping[str, float], coming: Mapping[str, float], *, over_w: float
) -> Mapping[str, float]:
    """Fewer slots for the engines whose cards' caps cannot be lowered; for all of them if there is no such engine.

    `coming`: what each card will draw by its cap. What a card draws is taken to be IDLE_W and more by its slots.
    """
    if over_w <= 0.0:
        return shares
    fixed = {card.engine for card in cards if not card.cap_writable} & set(shares) or set(shares)
    concerned = [card for card in cards if card.engine in fixed]
    by_load_w = sum(_load_w(coming[card.id]) for card in concerned)
    kept = max(0.0, 1.0 - over_w / by_load_w) if by_load_w else 1.0
    # a card that its cap holds back has more slots at work than what it will draw tells
    held = dict.fromkeys(fixed, kept)
    for card in concerned:
        now_w = _load_w(drawn_w(card))
        part = _load_w(coming[card.id]) / now_w if now_w else 1.0
        held[card.engine] = min(held[card.engine], kept * part)
    return {name: share * held.get(name, 1.0) for name, share in shares.items()}


def _load_w(watts: float) -> float:
    return max(0.0, watts - IDLE_W)
