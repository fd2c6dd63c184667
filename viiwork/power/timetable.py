"""What the schedule says, in full, until something else holds. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from viiwork.jobs import Lane
from viiwork.power.schedule import Regime, Schedule, entry_in_force, in_force, next_change, opens


@dataclass(frozen=True, slots=True)
class Hours:
    """What holds now, and for how long."""

    regime: Regime
    entry: str = ""
    """`22:00-07:00`; empty while no entry of the schedule holds."""
    until: datetime | None = None
    """None: for ever."""
    opens: Mapping[Lane, datetime | None] = field(default_factory=dict)
    """Of the lanes that are closed: when work is taken from them again; None: never."""


def hours_at(schedule: Schedule, now: datetime, *, held: Hours | None = None) -> Hours:
    """What holds now. To look days ahead takes milliseconds: what `held` before is kept while it does."""
    regime, entry = in_force(schedule, now), entry_in_force(schedule, now)
    if held and (held.regime, held.entry) == (regime, entry) and (held.until is None or now < held.until):
        return held
    closed = {lane: opens(schedule, now, lane) for lane in Lane if lane not in regime.lanes}
    return Hours(regime, entry, next_change(schedule, now), closed)
