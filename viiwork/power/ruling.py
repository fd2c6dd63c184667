"""One period of a host in full: the hours, the cards and what held before in; what holds until the next one out. Pure.

What the fleet's own cards may draw is the budget's room less what the machine's other cards draw now.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from viiwork.power.budget import Allotment, PoweredCard, allot, room_w, wall_w
from viiwork.power.control import Limits, control, drawn_w
from viiwork.power.schedule import Regime
from viiwork.powerfile import Order
from viiwork.settings import PowerSection

NO_CARD = "its card is not there"


@dataclass(frozen=True, slots=True)
class Ruling:
    """What holds on a host."""

    regime: Regime
    allotment: Allotment
    limits: Limits
    room_w: float | None
    """For the fleet's cards; None without a budget."""
    drawn_w: float
    """What they drew."""
    wall_w: float
    """What the machine draws, reckoned from all its cards."""

    @property
    def why(self) -> str:
        """For people: what had to be taken away; empty while nothing had."""
        return "; ".join(each for each in (self.allotment.why, self.limits.why) if each)


def ruled(
    cards: Sequence[PoweredCard],
    *,
    regime: Regime,
    power: PowerSection,
    before: Ruling | None = None,
    others_w: float = 0.0,
    hot: Collection[str] = (),
) -> Ruling:
    """The next period. `others_w`: what cards draw that are none of the fleet's; `hot`: cards that are, by identity."""
    supply = {"base_watts": power.base_watts, "supply_efficiency": power.supply_efficiency}
    room = room_w(regime.host_watts, **supply)
    room = None if room is None else max(0.0, room - others_w)
    old = Limits() if before is None else before.limits
    running = () if before is None else before.allotment.start
    allotment = allot(cards, room_w=room, cap_w=regime.cap_watts, running=running, excess=old.excess)
    limits = control(cards, allotment=allotment, room_w=room, before=old, hot=hot)
    drawn = sum(map(drawn_w, cards))
    whole = replace(limits, caps=whole_watts(cards, limits.caps))
    return Ruling(regime, allotment, whole, room, drawn, wall_w(drawn + others_w, **supply))


def whole_watts(cards: Sequence[PoweredCard], caps: Mapping[str, float]) -> dict[str, float]:
    """Caps as they can be written: rounded down, but not below what a card allows."""
    lowest = {card.id: card.lowest_w for card in cards}
    return {name: float(max(math.floor(cap), math.ceil(lowest.get(name, 0.0)))) for name, cap in caps.items()}


def orders(ruling: Ruling, workers: Collection[str], *, may_load: Mapping[str, float]) -> dict[str, Order]:
    """What each of these workers may do; they are those with cards. `may_load`: since when, by worker."""
    return {worker: _order(ruling, worker, let_s=may_load.get(worker)) for worker in workers}


def _order(ruling: Ruling, worker: str, *, let_s: float | None) -> Order:
    if worker not in ruling.allotment.start:
        return Order(may_run=False, may_load=False, share=0.0, why=ruling.allotment.why or NO_CARD)
    share = max(0.0, min(1.0, ruling.limits.shares.get(worker, 1.0)))
    why = "" if share == 1.0 else f"power: {ruling.why or 'the budget was exceeded not long ago'}"
    return Order(may_load=let_s is not None, let_s=let_s, share=share, why=why)
