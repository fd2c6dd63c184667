"""How a machine's watts are dealt out to its cards. Pure: cards and a budget in, caps and who may run out.

    at the wall = base + cards / supply efficiency,  so  room for cards = (budget - base) * efficiency

Every card that runs may draw its cap, every other one `IDLE_W`, and all of that fits the room. Where caps can be
written, all are lowered to one level, none below what its card allows; only where that is not enough, or where caps
cannot be written, fewer engines run.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from viiwork.devices.base import Reading

IDLE_W = 20.0
"""Of a card without an engine; an assumption, from 400 W at the wall for a host with ten idle cards."""
ASSUMED_CAP_W = 300.0
"""Of a card that tells no cap at all: the highest of any gfx906."""
LOWEST_SHARE = 0.5
"""Of the default cap, where a card does not tell how low it goes: `power1_cap_min` may be empty."""


@dataclass(frozen=True, slots=True)
class PoweredCard:
    """One card as far as its power goes."""

    id: str
    engine: str
    """Which engine is to run on it, perhaps with others: `gpu0`, `gpu0+gpu1`."""
    reading: Reading
    cap_writable: bool
    """Whether its cap can be set and read back. One that refused a cap is to be given as False from then on."""

    @property
    def highest_w(self) -> float:
        """What it may draw if nobody does anything: its cap. A driver that starts again goes back to the default."""
        reading = self.reading
        known = [cap for cap in (reading.cap_w, reading.cap_default_w, reading.cap_max_w) if cap]
        return known[0] if known else ASSUMED_CAP_W

    @property
    def lowest_w(self) -> float:
        """The lowest cap that it can be brought to."""
        if not self.cap_writable:
            return self.highest_w
        default_w = self.reading.cap_default_w or self.highest_w
        return min(self.reading.cap_min_w or default_w * LOWEST_SHARE, default_w)

    def wanted_w(self, cap_w: float | None) -> float:
        """The cap that it is to have while there is room: the one wished for, else its default."""
        if not self.cap_writable:
            return self.highest_w
        wish = cap_w or self.reading.cap_default_w or self.highest_w
        return max(self.lowest_w, min(wish, self.reading.cap_max_w or wish))


@dataclass(frozen=True, slots=True)
class Allotment:
    """What the cards may do."""

    caps: Mapping[str, float]
    """Watts by card, where caps can be written; the lowest for cards that do not run."""
    start: tuple[str, ...]
    """The engines that may run, in the order in which they came."""
    most_w: float
    """What all cards together may then draw."""
    why: str = ""
    """For people; empty where every card has what was wished for."""


def room_w(host_watts: float | None, *, base_watts: float, supply_efficiency: float) -> float | None:
    """What all cards together may draw; None without a budget."""
    return None if host_watts is None else max(0.0, (host_watts - base_watts) * supply_efficiency)


def wall_w(cards_w: float, *, base_watts: float, supply_efficiency: float) -> float:
    """What the machine draws at the wall when its cards draw so much."""
    return base_watts + cards_w / supply_efficiency


def allot(
    cards: Sequence[PoweredCard],
    *,
    room_w: float | None,
    cap_w: float | None = None,
    running: Collection[str] = (),
    excess: Mapping[str, float] | None = None,
) -> Allotment:
    """Deal the room out: as many engines as fit, those that run already first; then caps as even as they can be.

    `excess`: watts by card that are kept free, since it does not keep to its cap.
    """
    room_w = None if room_w is None else room_w - sum((excess or {}).values())
    present = [card for card in cards if card.reading.state != "gone"]
    engines = list(dict.fromkeys(card.engine for card in present))
    start = _fitting(present, engines, room_w=room_w, running=running)
    started = [card for card in present if card.engine in start]
    idle_w = IDLE_W * (len(present) - len(started))
    wanted = {card.id: card.wanted_w(cap_w) for card in started}
    caps = wanted if room_w is None else _levelled(started, wanted, room_w=room_w - idle_w)
    return Allotment(
        caps={card.id: caps.get(card.id, card.lowest_w) for card in present if card.cap_writable},
        start=tuple(engine for engine in engines if engine in start),
        most_w=sum(caps.values()) + idle_w,
        why=_why(len(engines) - len(start), lowered=sum(caps.values()) < sum(wanted.values()), room_w=room_w),
    )


def may_load(
    allotment: Allotment,
    cards: Sequence[PoweredCard],
    *,
    loading: Collection[str],
    loaded: Collection[str],
    at_once: int = 1,
) -> tuple[str, ...]:
    """The engines that may begin to load now: no more than `at_once` at a time, and none before its caps hold."""
    held = {card.engine for card in cards if not _cap_holds(card, allotment.caps.get(card.id))}
    free = max(0, at_once - len(set(loading)))
    waiting = [name for name in allotment.start if name not in loading and name not in loaded and name not in held]
    return tuple(waiting[:free])


def _cap_holds(card: PoweredCard, cap_w: float | None) -> bool:
    return cap_w is None or (card.reading.cap_w is not None and card.reading.cap_w <= cap_w + 0.5)


def _fitting(
    cards: Sequence[PoweredCard], engines: Sequence[str], *, room_w: float | None, running: Collection[str]
) -> frozenset[str]:
    """As many engines as fit at their cards' lowest caps, the small ones first."""
    if room_w is None:
        return frozenset(engines)
    left_w, fitting = room_w - IDLE_W * len(cards), set()
    for engine in sorted(engines, key=lambda engine: (engine not in running, _above_rest_w(cards, engine))):
        if _above_rest_w(cards, engine) <= left_w:
            left_w -= _above_rest_w(cards, engine)
            fitting.add(engine)
    return frozenset(fitting)


def _above_rest_w(cards: Sequence[PoweredCard], engine: str) -> float:
    """The least that an engine takes beyond what its cards take at rest."""
    return sum(card.lowest_w - IDLE_W for card in cards if card.engine == engine)


def _levelled(cards: Sequence[PoweredCard], wanted: Mapping[str, float], *, room_w: float) -> dict[str, float]:
    """Each cap as it is wanted, or all lowered to one level that fits: whole watts, found by halving."""
    if sum(wanted.values()) <= room_w:
        return dict(wanted)
    low_w, high_w = 0.0, max(wanted.values(), default=0.0)
    for _ in range(24):
        middle_w = (low_w + high_w) / 2
        fits = sum(_at_level(card, wanted[card.id], middle_w) for card in cards) <= room_w
        low_w, high_w = (middle_w, high_w) if fits else (low_w, middle_w)
    return {card.id: _at_level(card, wanted[card.id], math.floor(low_w + 1e-3)) for card in cards}


def _at_level(card: PoweredCard, wanted_w: float, level_w: float) -> float:
    return max(card.lowest_w, min(wanted_w, level_w))


def _why(left_out: int, *, lowered: bool, room_w: float | None) -> str:
    room = f"the budget leaves {room_w:.0f} W for cards" if room_w is not None else ""
    if left_out:
        return f"{room}: {left_out} of the engines cannot run"
    return f"{room}: their caps are lowered" if lowered else ""
