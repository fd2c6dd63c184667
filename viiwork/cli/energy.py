"""How energy and what it costs are said to people."""

from __future__ import annotations

from viiwork.expense import Cost
from viiwork.jobs import BatchStatus, Status
from viiwork.roster import FleetEnergy, TenantLoad

JOULES_PER_WH = 3600.0
Used = Status | BatchStatus | TenantLoad | FleetEnergy


def energy_of(used: Used) -> str:
    """`at least 12.3 Wh (2 jobs unknown), 0.0041 EUR, 4.9 g CO2`; empty where nothing was measured."""
    if used.energy_j is None:
        return ""
    unknown, known = used.energy_unknown_jobs, wh(used.energy_j)
    known += " of simulated cards" if used.energy_simulated else ""
    jobs = f"{unknown} job{'' if unknown == 1 else 's'} unknown"
    whole = f"at least {known} ({jobs})" if unknown else known
    return ", ".join([whole, *cost_words(used.cost)])


def cost_words(cost: Cost | None) -> list[str]:
    """`0.0041 EUR` and `4.9 g CO2`, those that the service's settings have a figure for."""
    if cost is None:
        return []
    money = [f"{figures(cost.money)} {cost.currency or ''}".rstrip()] if cost.money is not None else []
    return money + ([f"{figures(cost.co2_g)} g CO2"] if cost.co2_g is not None else [])


def wh(joules: float) -> str:
    """Watt-hours: `0.0694 Wh`, `12.3 Wh`, `1,204 Wh`."""
    return f"{figures(joules / JOULES_PER_WH)} Wh"


def fleet_lines(energy: FleetEnergy | None) -> list[str]:
    """What the cards have used so far, in a line; none where nobody has measured any."""
    if energy is None or energy.energy_j is None:
        return []
    parts = [
        f"{wh(joules)} {what}"
        for joules, what in ((energy.jobs_j, "for jobs"), (energy.idle_j, "idle"), (energy.lost_j, "lost"))
        if joules
    ]
    return [f"The cards have used {energy_of(energy)}" + (f": {', '.join(parts)}." if parts else ".")]


def figures(number: float) -> str:
    """Three of them, and no more than four after the point: `0.0041`, `12.3`, `1,204`."""
    for digits, below in ((4, 0.1), (3, 1.0), (2, 10.0), (1, 100.0)):
        if abs(number) < below:
            return f"{number:.{digits}f}"
    return f"{number:,.0f}"
