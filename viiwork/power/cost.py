"""What energy costs: money and grams of CO2 at the wall. Pure; what is not known has no price."""

from __future__ import annotations

from dataclasses import dataclass

from viiwork.power.energy import JOULES_PER_KWH, Energy
from viiwork.settings import PowerSection


@dataclass(frozen=True, slots=True)
class Cost:
    """Of some energy, as far as it was measured."""

    kwh: float | None
    """At the wall: what the cards used, and what the supply lost on the way."""
    money: float | None
    co2_g: float | None
    currency: str


def cost_of(energy: Energy, power: PowerSection) -> Cost:
    """Its cost by the settings' tariff; None where energy, tariff or grams are not known."""
    joules = energy.joules
    kwh = None if joules is None else joules / power.supply_efficiency / JOULES_PER_KWH
    return Cost(kwh, _times(kwh, power.tariff_per_kwh), _times(kwh, power.co2_g_per_kwh), power.currency)


def _times(kwh: float | None, rate: float | None) -> float | None:
    return None if kwh is None or rate is None else kwh * rate
