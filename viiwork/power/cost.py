"""What energy costs: money and grams of CO2 at the wall. Pure; what is not known has no price."""

from __future__ import annotations

from viiwork.expense import Cost
from viiwork.power.energy import JOULES_PER_KWH
from viiwork.settings import PowerSection


def cost_of(joules: float | None, power: PowerSection) -> Cost | None:
    """What so much energy of cards costs by the settings' tariff; None where it is not known.

    The supply's loss belongs to it: it comes and goes with the cards' load. `power.base_watts` does not: the machine
    draws them whether anybody works or not, and a job's share would depend on who else was there.
    """
    if joules is None:
        return None
    kwh = joules / power.supply_efficiency / JOULES_PER_KWH
    tariff, grams = power.tariff_per_kwh, power.co2_g_per_kwh
    return Cost(
        cards_kwh_at_wall=kwh,
        money=None if tariff is None else kwh * tariff,
        currency=None if tariff is None else power.currency,
        co2_g=None if grams is None else kwh * grams,
    )
