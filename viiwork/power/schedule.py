"""Which budget, caps and lanes hold at a moment. Pure: the schedule, the time zone and the moment come in.

The clock on the wall decides: when it is put forward, hours that it skips do not come; when it is put back, the hours
that it repeats count twice. Of several entries that hold at once the first one wins, as a whole.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta, tzinfo

from viiwork.hours import DAYS, Hours, read_hours
from viiwork.jobs import Lane
from viiwork.settings import PowerSection, ScheduleEntry

HORIZON_DAYS = 8
"""A schedule repeats itself after seven."""


@dataclass(frozen=True, slots=True)
class Regime:
    """What holds at a moment."""

    lanes: frozenset[Lane] = frozenset(Lane)
    """Those that work is taken from."""
    host_watts: float | None = None
    """At the wall; None: no budget."""
    cap_watts: float | None = None
    """Of each card; None: its default."""


@dataclass(frozen=True, slots=True)
class Span:
    """One entry of the schedule: when, and what holds then."""

    hours: Hours
    days: frozenset[int]
    """On which it begins, Monday is 0."""
    regime: Regime

    def holds(self, wall: datetime) -> bool:
        """Whether it does when the clock on the wall shows this."""
        days_ago = self.hours.began(wall.hour * 60 + wall.minute)
        return days_ago is not None and (wall.weekday() + days_ago) % len(DAYS) in self.days


@dataclass(frozen=True, slots=True)
class Schedule:
    """All entries in their order, and what holds when none of them does."""

    spans: tuple[Span, ...]
    otherwise: Regime
    zone: tzinfo


def schedule_of(entries: Sequence[ScheduleEntry], power: PowerSection, *, zone: tzinfo) -> Schedule:
    """The schedule that the settings describe. What an entry leaves out is as in the table `power`."""
    usual = Regime(host_watts=power.host_watts, cap_watts=power.cap_watts)
    return Schedule(tuple(_span(entry, usual) for entry in entries), usual, zone)


def in_force(schedule: Schedule, now: datetime) -> Regime:
    """What holds now. Raises ValueError for a time without its zone: the host's must not be guessed."""
    if now.utcoffset() is None:
        raise ValueError("this time has no time zone")
    wall = now.astimezone(schedule.zone)
    return next((span.regime for span in schedule.spans if span.holds(wall)), schedule.otherwise)


def entry_in_force(schedule: Schedule, now: datetime) -> str:
    """The hours of the entry that holds now, as `22:00-07:00`; empty while none does."""
    wall = now.astimezone(schedule.zone)
    return next((written(span) for span in schedule.spans if span.holds(wall)), "")


def written(span: Span) -> str:
    """As people write it: `22:00-07:00`, `22:00-07:00 fri sat`."""
    hours = "-".join(f"{minute // 60:02}:{minute % 60:02}" for minute in (span.hours.start, span.hours.end))
    days = "" if len(span.days) == len(DAYS) else " ".join(DAYS[day] for day in sorted(span.days))
    return f"{hours} {days}".strip()


def opens(schedule: Schedule, now: datetime, lane: Lane) -> datetime | None:
    """When work of this lane is taken next, in UTC; None if it never is."""
    moment: datetime | None = now
    while moment is not None and lane not in in_force(schedule, moment).lanes:
        moment = next_change(schedule, moment)
        if moment is not None and moment - now > timedelta(days=HORIZON_DAYS):
            return None
    return moment


def next_change(schedule: Schedule, now: datetime) -> datetime | None:
    """When something else will hold, in UTC (whose hours can be counted with); None if nothing ever will."""
    held = in_force(schedule, now)
    moments = sorted({moment for moment in _moments(schedule, now) if moment > now})
    return next((moment for moment in moments if in_force(schedule, moment) != held), None)


def _span(entry: ScheduleEntry, usual: Regime) -> Span:
    days = frozenset(DAYS.index(day) for day in entry.days or DAYS)
    regime = replace(usual, lanes=frozenset(entry.lanes))
    if entry.host_watts is not None:
        regime = replace(regime, host_watts=entry.host_watts)
    if entry.cap_watts is not None:
        regime = replace(regime, cap_watts=entry.cap_watts)
    return Span(read_hours(entry.when), days, regime)


def _moments(schedule: Schedule, now: datetime) -> Iterator[datetime]:
    """Every moment of the days to come at which an entry may begin or end, in UTC and in no order."""
    today = now.astimezone(schedule.zone).replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=None)
    minutes = {minute for span in schedule.spans for minute in (span.hours.start, span.hours.end, 0)}
    for day in (today + timedelta(days=n) for n in range(HORIZON_DAYS + 1)):
        for wall in (day + timedelta(minutes=minute) for minute in minutes):
            # an hour that the clock repeats comes twice
            yield from (wall.replace(tzinfo=schedule.zone, fold=fold).astimezone(UTC) for fold in (0, 1))
        yield from _clock_set(day, schedule.zone)


def _clock_set(day: datetime, zone: tzinfo) -> Iterator[datetime]:
    """The moment of this day, if there is one, at which the clock is put forward or back: to the second."""
    before, after = (each.replace(tzinfo=zone).astimezone(UTC) for each in (day, day + timedelta(days=1)))
    offset = before.astimezone(zone).utcoffset()
    if offset == after.astimezone(zone).utcoffset():
        return
    while after - before > timedelta(seconds=1):
        middle = before + timedelta(seconds=(after - before) // timedelta(seconds=2))
        before, after = (middle, after) if middle.astimezone(zone).utcoffset() == offset else (before, middle)
    yield after
