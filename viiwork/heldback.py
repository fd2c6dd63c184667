"""What hours, watts and Redis' memory hold back in a fleet, in sentences for people. Pure."""

from __future__ import annotations

from datetime import datetime, timedelta

from viiwork.jobs import Lane
from viiwork.roster import BUSY_FROM, FULL_FROM, FleetStatus, HostWatts, Memory

MIB = 1024 * 1024
MAKE_ROOM = (
    "Delete analyses (viiwork delete), keep them for less long (results.ttl_days) or raise redis.max_memory_bytes."
)
SOON = timedelta(hours=20)
"""Within it the time alone is clear; later on the day is told too."""


def notices(status: FleetStatus, *, now: datetime) -> tuple[str, ...]:
    """A server that is nearly full, every lane that nobody takes work from, and what each host draws of what it may."""
    closed = (closed_lane(status, model, lane, now=now) for model in status.models for lane in Lane)
    return (*filter(None, (memory_line(status.memory), *closed)), *watts(status, now=now))


def memory_line(memory: Memory | None) -> str:
    """That Redis is full, or nearly, and what to do about it; empty while there is room."""
    if memory is None or memory.fraction < BUSY_FROM:
        return ""
    much = f"Redis' memory is {memory.fraction:.0%} full (of {memory.limit_bytes / MIB:,.0f} MiB)"
    what = f"new work is taken again below {BUSY_FROM:.0%}, and archives wait"
    if memory.fraction >= FULL_FROM:
        what = "no new work is taken, and documents that are not cut yet wait"
    return f"{much}: {what}. {MAKE_ROOM}"


def closed_lane(status: FleetStatus, model: str, lane: Lane, *, now: datetime) -> str:
    """Until when work of this lane waits for this model; empty while somebody takes it, or nobody serves the model."""
    crew = [worker.card for worker in status.workers if worker.card.model == model and not worker.quarantine]
    if not crew or not all(lane in card.closed for card in crew):
        return ""
    what = f"{model}: {lane.value} work waits"
    opens = [card.opens[lane] for card in crew if lane in card.opens]
    moments = sorted(filter(None, map(_moment, opens)))
    if moments:
        return f"{what} until {shown(moments[0], now=now)}: the schedule has closed that lane."
    if opens:
        return f"{what}: the schedule has closed that lane, and never opens it."
    return f"{what}: that lane is paused on every worker."


def watts(status: FleetStatus, *, now: datetime) -> list[str]:
    """A line for each host whose watts are dealt out."""
    hosts: dict[str, HostWatts] = {}
    for worker in status.workers:
        if worker.card.power is not None:
            hosts.setdefault(worker.card.host, worker.card.power)
    return [_host_line(name, power, now=now) for name, power in sorted(hosts.items())]


def shown(moment: datetime, *, now: datetime) -> str:
    """`07:00 (UTC+01:00)`, or `Mon 07:00 (UTC+01:00)`, on the clock that the schedule goes by."""
    day = "" if moment - now < SOON else f"{moment:%a} "
    return f"{day}{moment:%H:%M} ({moment.tzname()})"


def _host_line(name: str, power: HostWatts, *, now: datetime) -> str:
    drawn = (
        f"{power.wall_w:,.0f} W" if power.host_watts is None else f"{power.wall_w:,.0f} of {power.host_watts:,.0f} W"
    )
    until = _moment(power.until)
    hours = (
        f" (hours {power.entry}{'' if until is None else f', until {shown(until, now=now)}'})" if power.entry else ""
    )
    why = f": {power.why}" if power.why else ""
    return f"{name} draws about {drawn} at the wall{hours}{why}."


def _moment(written: str) -> datetime | None:
    try:
        return datetime.fromisoformat(written)
    except ValueError:
        return None
