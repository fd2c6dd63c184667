"""How many of its slots heat and watts leave a worker. Pure: what its cards and the host's power room say comes in."""

from __future__ import annotations

from dataclasses import dataclass

from viiwork.power.heat import COOL, Heat
from viiwork.power.standing import FREE, Standing

ROUNDED = 1e-9
"""Of a tenth taken ten times nothing may be missing."""


@dataclass(frozen=True, slots=True)
class Restraint:
    """What is left of a worker's slots."""

    takes: int
    """So many jobs it may hold if it takes one more."""
    keeps: int
    """So many it may finish; what it has beyond that goes back at once."""
    why: str = ""
    """For people; empty while nothing is held back."""


def restraint(slots: int, *, heat: Heat = COOL, standing: Standing = FREE) -> Restraint:
    """The least of what heat and watts leave; a card that is too warm to finish anything gives all of it back."""
    takes, keeps = (int(share * slots + ROUNDED) for share in (standing.takes, standing.keeps))
    by_heat = heat.slots_of(slots)
    hot = f"{heat.level}: {heat.why}" if by_heat < slots else ""
    told = standing.why if takes < slots or keeps < slots else ""
    why = "; ".join(each for each in (hot, told) if each)
    return Restraint(min(takes, by_heat), 0 if heat.give_back else keeps, why)
