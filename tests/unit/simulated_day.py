"""A day of a machine with eight simulated cards under the power policy: load that comes and goes, and mishaps."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from viiwork.devices.base import Reading, State, Temperature
from viiwork.devices.kinds import BY_KEY, CardKind
from viiwork.devices.thermal import TAU_S, Standing, power_w, relaxed, settled
from viiwork.jobs import Lane
from viiwork.power.budget import PoweredCard, allot, room_w, wall_w
from viiwork.power.control import Limits, control, to_write
from viiwork.power.energy import NOBODY, Account, Sample
from viiwork.power.heat import COOL, Heat, heat_of
from viiwork.power.schedule import Regime, Schedule, in_force
from viiwork.settings import PowerSection

SLOTS = 4
LOWEST_CAP_SHARE = 0.4
RADEON = BY_KEY["radeonvii"]


@dataclass(slots=True)
class Job:
    id: str
    ends_s: float
    tokens: int


@dataclass(slots=True)
class Card:
    """One card, its engine, and what is known of it in truth."""

    index: int
    writable: bool
    kind: CardKind = RADEON
    cap_w: float = RADEON.cap_w
    fan: bool = True
    state: State = "ok"
    overshoot: float = 1.0
    drew_w: float = RADEON.idle_w
    celsius: dict[str, float] = field(default_factory=lambda: settled(RADEON, power_w=RADEON.idle_w))
    heat: Heat = COOL
    running: list[Job] = field(default_factory=list)
    used: dict[str, float] = field(default_factory=dict)
    """Tokens in flight in the last period."""
    account: Account = field(default_factory=lambda: Account(longest_gap_s=60))
    truth_j: float = 0.0
    hottest: dict[str, float] = field(default_factory=dict)
    paused: int = 0

    @property
    def id(self) -> str:
        return f"card{self.index}"

    @property
    def engine(self) -> str:
        return f"gpu{self.index}"

    def reading(self, look: int) -> Reading:
        """What its sensors say; the one for power is off by up to 2 %."""
        if self.state != "ok":
            return Reading(self.state)
        return Reading(
            "ok",
            temperatures=tuple(Temperature(k, v, *self.kind.limits[k]) for k, v in self.celsius.items()),
            power_w=self.drew_w * (1 + 0.02 * math.sin(1.7 * look + self.index)),
            cap_w=self.cap_w,
            cap_min_w=self.kind.cap_w * LOWEST_CAP_SHARE,
            cap_max_w=self.kind.cap_max_w,
            cap_default_w=self.kind.cap_w,
        )

    def advance(self, period_s: float) -> None:
        """One period further, drawing what its jobs and its cap make it draw."""
        standing = Standing(len(self.running) / SLOTS, self.cap_w, self.fan, self.celsius)
        self.drew_w = power_w(self.kind, standing, since_s=0) * self.overshoot
        target = settled(self.kind, power_w=self.drew_w, fan=self.fan)
        self.celsius = relaxed(self.celsius, target, share=period_s / TAU_S)
        self.truth_j += self.drew_w * period_s
        self.paused += self.heat.level == "hot"
        for label, warmth in self.celsius.items():
            self.hottest[label] = max(self.hottest.get(label, 0.0), warmth)
        self.used = {job.id: job.tokens for job in self.running}


Mishap = Callable[[list[Card]], None]


@dataclass(slots=True)
class Day:
    """What came of it."""

    cards: list[Card]
    over: list[bool]
    """By period: whether the wall drew more than the budget that was in force."""
    peak_w: dict[float | None, float]
    """The most that the wall drew under each budget."""
    ran: dict[float | None, set[int]]
    """How many engines could run under each."""
    given_back: int = 0
    jobs: int = 0


def run_day(
    schedule: Schedule,
    power: PowerSection,
    *,
    begin: datetime,
    writable: bool = True,
    period_s: float = 10.0,
    hours: float = 24,
    mishaps: Mapping[float, Mishap] | None = None,
) -> Day:
    """A day in steps of one control period."""
    cards = [Card(index, writable) for index in range(8)]
    day, limits, running = Day(cards, [], {}, {}), Limits(), frozenset[str]()
    supply = {"base_watts": power.base_watts, "supply_efficiency": power.supply_efficiency}
    for look, now_s in enumerate(_steps(period_s, hours=hours)):
        regime = in_force(schedule, begin + timedelta(seconds=now_s))
        powered = [_look(card, look, now_s) for card in cards]
        room = room_w(regime.host_watts, **supply)
        allotment = allot(powered, room_w=room, cap_w=regime.cap_watts, running=running, excess=limits.excess)
        hot = {card.id for card in cards if card.heat.level == "hot"}
        limits = control(powered, allotment=allotment, room_w=room, before=limits, hot=hot)
        writes = to_write(powered, limits)
        (mishaps or {}).get(now_s, lambda _: None)(cards)  # just too late for this step
        for card in cards:
            card.cap_w = writes.get(card.id, card.cap_w)
            _work(card, day, limits, regime, now_s)
            card.advance(period_s)
        running = frozenset(allotment.start)
        drawn = wall_w(sum(card.drew_w for card in cards), **supply)
        day.over.append(regime.host_watts is not None and drawn > regime.host_watts + 1e-6)
        day.peak_w[regime.host_watts] = max(day.peak_w.get(regime.host_watts, 0.0), drawn)
        day.ran.setdefault(regime.host_watts, set()).add(len(allotment.start))
    for card in cards:
        _look(card, len(day.over), len(day.over) * period_s)
    return day


def owners(rows: Mapping[str, object], *, tenants: int) -> dict[str, str]:
    """Whose a job is: it goes by its number."""
    return {job: f"tenant{int(job.partition('-')[2]) % tenants}" for job in rows if job != NOBODY}


def _steps(period_s: float, *, hours: float) -> Iterator[float]:
    return (step * period_s for step in range(round(hours * 3600 / period_s)))


def _look(card: Card, look: int, now_s: float) -> PoweredCard:
    reading = card.reading(look)
    card.account.add(Sample(now_s, reading.power_w, card.used))
    card.heat = heat_of(reading, before=card.heat)
    return PoweredCard(card.id, card.engine, reading, card.writable)


def _work(card: Card, day: Day, limits: Limits, regime: Regime, now_s: float) -> None:
    """Jobs end, are given back, and begin, as many as are wanted and allowed."""
    share = limits.shares.get(card.engine, 0.0) if card.state == "ok" else 0.0
    by_power = 0 if card.heat.give_back else int(share * SLOTS + 1e-9)
    kept = [job for job in card.running if job.ends_s > now_s]
    card.running = kept[:by_power]
    day.given_back += len(kept) - len(card.running)
    allowed = min(by_power, card.heat.slots_of(SLOTS), _wanted(card, regime, now_s))
    while len(card.running) < allowed:
        day.jobs += 1
        lasts_s = 60.0 + 10 * (day.jobs * 7 % 25)
        card.running.append(Job(f"{card.id}-{day.jobs}", now_s + lasts_s, 512 + 37 * (day.jobs % 11)))


def _wanted(card: Card, regime: Regime, now_s: float) -> int:
    """Batches fill all slots most of the time; people come in waves by day."""
    hour = now_s / 3600
    batch = SLOTS if (hour + card.index * 0.37) % 4 < 3 else 0
    people = round(SLOTS * max(0.0, math.sin((hour - 7) * math.pi / 12) * math.sin(now_s / 900 + card.index)))
    wanted = batch * (Lane.BATCH in regime.lanes) + people * (Lane.INTERACTIVE in regime.lanes)
    return min(SLOTS, wanted)
