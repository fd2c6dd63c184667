"""How warm a card is by its own limits, and how much of its work it may take. Pure: a reading and what held before.

Of several sensors the one counts that is nearest to its limit, on a scale that is 0 where its warning begins and 1
where the card is hot. Slots go down in quarters and at once; they come back when it is cooler by four tenths of that
scale, and a card that was hot comes back only below its warning. What a hot card has in hand is finished, unless it
goes on warming: half-way from there to the critical temperature it is given back at once.

A card whose temperature nobody tells is neither cool nor hot: it keeps the share that it had, and one that was paused
gets a quarter of its slots after `PATIENCE` looks, so that a lost sensor does not stop a fleet. The card's own
throttling is the net below all this. One look a second is meant: in the simulated card's model a card without its fan
warms by a degree a second.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from viiwork.devices.base import Reading, Temperature

Level = Literal["cool", "warm", "hot", "unknown"]
WARN_BELOW = 10.0
HOT_BELOW = 2.0
"""Degrees below the card's own critical temperature; of a Radeon VII that is 95 and 103 at the junction, 84 and 92 at
the memory. The card would throttle at the critical temperature itself."""
FALLBACK = {"junction": (95.0, 105.0), "mem": (85.0, 92.0)}
"""Warning and limit of gfx906 where the card tells none; a sensor without either does not count."""
BELIEVABLE = (50.0, 150.0)
"""Some drivers answer 0 or 511 for a limit that they do not know."""
QUARTERS = 3
GIVES_BACK = 1.125
"""On the scale: a degree below the critical temperature, where the card tells it."""
EASED_BY = 0.4
"""Of the way from the warning to the limit: three to four degrees."""
PATIENCE = 60
SEEN_NOTHING = 0.25


@dataclass(frozen=True, slots=True)
class Heat:
    """How warm a card is, and what follows."""

    level: Level = "cool"
    share: float = 1.0
    """Of its slots, 0 to 1; 0: what runs is finished and nothing is taken."""
    why: str = ""
    """For people; empty while it is cool."""
    give_back: bool = False
    """Whether it is too warm to finish what it has in hand."""
    unseen: int = 0
    """Looks in a row that found no temperature."""

    def slots_of(self, slots: int) -> int:
        """How many of so many; one at least unless the card is paused."""
        return min(slots, math.ceil(self.share * slots))


COOL = Heat()


def heat_of(reading: Reading, *, before: Heat = COOL) -> Heat:
    """How warm a card is at this look, after what was found at the one before."""
    sensors = [near for near in map(_nearness, reading.temperatures) if near is not None]
    if not sensors:
        return _unseen(reading, before)
    nearness, why = max(sensors)
    now, eased = _share(nearness), _share(nearness + EASED_BY)
    share = now if now < before.share else max(before.share, eased)
    if now == 0.0 or (before.share == 0.0 and eased < 1.0):
        return Heat("hot", 0.0, why, give_back=nearness >= GIVES_BACK)
    return Heat("warm", share, why) if share < 1.0 else COOL


def heats_of(readings: Iterable[tuple[str, Reading]], *, before: Mapping[str, Heat]) -> dict[str, Heat]:
    """The same of several cards, each by who it is."""
    return {card: heat_of(reading, before=before.get(card, COOL)) for card, reading in readings}


def of_all(heats: Iterable[Heat]) -> Heat:
    """Of an engine over several cards: the one counts that leaves it least; one that must give back does so for all."""
    found = list(heats)
    worst = min(found, key=lambda heat: heat.share, default=COOL)
    return replace(worst, give_back=any(heat.give_back for heat in found))


def hottest(sensors: Iterable[Temperature]) -> Temperature | None:
    """The sensor that is nearest to its limit; where no limit is known, the warmest."""
    told = [sensor for sensor in sensors if not math.isnan(sensor.celsius)]
    near = [(found[0], sensor) for sensor in told if (found := _nearness(sensor)) is not None]
    if near:
        return max(near, key=lambda each: each[0])[1]
    return max(told, key=lambda sensor: sensor.celsius, default=None)


def _nearness(sensor: Temperature) -> tuple[float, str] | None:
    """Where it is between warning and limit, and so in words; None for one whose limits nobody knows."""
    limits = _limits(sensor)
    if limits is None or math.isnan(sensor.celsius):
        return None
    warn, hot = limits
    why = f"{sensor.label} at {sensor.celsius:.0f} °C: warns from {warn:g}, hot from {hot:g}"
    return (sensor.celsius - warn) / (hot - warn), why


def _limits(sensor: Temperature) -> tuple[float, float] | None:
    critical, (lowest, highest) = sensor.critical_celsius, BELIEVABLE
    if critical is not None and lowest <= critical <= highest:
        return critical - WARN_BELOW, critical - HOT_BELOW
    return FALLBACK.get(sensor.label)


def _share(nearness: float) -> float:
    """Three quarters where the warning begins, none at the limit."""
    if nearness < 0.0:
        return 1.0
    return max(0, QUARTERS - math.floor(nearness * QUARTERS)) / (QUARTERS + 1)


def _unseen(reading: Reading, before: Heat) -> Heat:
    looks = before.unseen + 1
    why = "its temperature is not known" if reading.state == "ok" else f"it is {reading.state}"
    share = max(before.share, SEEN_NOTHING) if looks > PATIENCE else before.share
    return Heat("unknown", share, why, unseen=looks)
