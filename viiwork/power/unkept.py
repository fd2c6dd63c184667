"""What to say of limits that are set where no power room runs to keep them, as in containers. Pure."""

from __future__ import annotations

import math

from viiwork.jobs import Lane
from viiwork.power.budget import room_w
from viiwork.settings import Settings


def unkept(settings: Settings, *, cards: int) -> tuple[str, ...]:
    """For people: each limit that containers do not keep, and what keeps to it instead; empty without limits."""
    told = []
    if cards and (cap_w := fixed_cap_w(settings, cards=cards)) is not None:
        told.append(_of_watts(cap_w, cards=cards))
    if any(set(entry.lanes) != set(Lane) for entry in settings.schedule):
        told.append("A schedule is set, and containers do not keep to it: all lanes are served at any hour.")
    return tuple(told)


def fixed_cap_w(settings: Settings, *, cards: int) -> int | None:
    """The highest cap of each card by which the smallest budget of any hour is kept; None where watts are not limited.

    A card that draws more than its cap is not reckoned with, nor that a driver which starts again forgets it.
    """
    power = settings.power
    budgets = [watts for watts in (power.host_watts, *(entry.host_watts for entry in settings.schedule)) if watts]
    caps = [watts for watts in (power.cap_watts, *(entry.cap_watts for entry in settings.schedule)) if watts]
    supply = {"base_watts": power.base_watts, "supply_efficiency": power.supply_efficiency}
    room = room_w(min(budgets), **supply) if budgets else None
    if room is not None:
        caps.append(room / cards)
    return math.floor(min(caps)) if caps else None


def _of_watts(cap_w: int, *, cards: int) -> str:
    told = "A power budget or cap is set, and containers do not keep to it: that is done by `viiwork up` alone."
    if not cap_w:
        return f"{told} It leaves the cards nothing: do not start them."
    return (
        f"{told} What fits at any hour is {cap_w} W a card ({cards} cards). On the host: "
        f"`sudo viiwork power set {cap_w} --all`, and again after each start of the computer or of the cards' driver."
    )
