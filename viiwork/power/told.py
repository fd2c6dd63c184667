"""What a host's power room writes down in a period, from what was decided in it. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta, tzinfo

from viiwork.jobs import Lane
from viiwork.power.ruling import Ruling, orders
from viiwork.power.timetable import Hours
from viiwork.powerfile import PowerFile

MISSED = 3
"""Periods without a word after which what was told is not believed any more."""
BELIEVED_S = 15.0
"""At least: a busy machine may write late."""


def told_hours(hours: Hours, *, zone: tzinfo, now: datetime, now_s: float, control_s: float, period: int) -> PowerFile:
    """The lanes and the hours; `now_s` is the host's monotonic clock at `now`."""
    left_s = None if hours.until is None else (hours.until - now) / timedelta(seconds=1)
    return PowerFile(
        at_s=now_s,
        believed_s=max(BELIEVED_S, MISSED * control_s),
        period=period,
        entry=hours.entry,
        until=_shown(hours.until, zone),
        until_s=None if left_s is None else now_s + left_s,
        lanes=tuple(lane for lane in Lane if lane in hours.regime.lanes),
        opens={lane: _shown(moment, zone) for lane, moment in hours.opens.items()},
    )


def with_watts(
    told: PowerFile,
    ruling: Ruling,
    *,
    workers: Collection[str],
    may_load: Mapping[str, float],
    before: Mapping[str, float],
    devices: str = "",
) -> PowerFile:
    """And the watts: what was drawn, what may be, and what each of these workers may do."""
    watts = {
        "host_watts": ruling.regime.host_watts,
        "wall_w": round(ruling.wall_w, 1),
        "room_w": None if ruling.room_w is None else round(ruling.room_w, 1),
        "drawn_w": round(ruling.drawn_w, 1),
        "over_w": round(ruling.limits.over_w, 1),
        "caps": dict(ruling.limits.caps),
        "before": dict(before),
        "devices": devices,
        "why": ruling.why,
        "deals": True,
        "workers": orders(ruling, workers, may_load=may_load),
    }
    return told.model_copy(update=watts)


def _shown(moment: datetime | None, zone: tzinfo) -> str:
    return "" if moment is None else moment.astimezone(zone).isoformat(timespec="minutes")
