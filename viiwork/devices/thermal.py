"""How a simulated card warms up and what it draws: a first-order lag behind its power. Pure; all of it is assumed.

    power  = idle + (cap - idle) * load
    target = room + rise * power / default cap       (times FAN_LOST without its fan)
    T(t)   = target + (T0 - target) * exp(-t / TAU_S)

A full load at the default cap settles at 75 °C edge, 100 °C junction and 87 °C memory: past the warning, short of the
limit; without its fan far over it. No curve of a real card was at hand.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from viiwork.devices.kinds import CardKind

TAU_S = 60.0
"""After so long it has gone 63 % of the way."""
ROOM_CELSIUS = 25.0
RISE_CELSIUS = {"edge": 50.0, "junction": 75.0, "mem": 62.0, "gpu": 55.0}
"""Above the room at the default cap, when settled."""
FAN_LOST = 1.8
HOLDS_S = 5.0
"""For how long a load holds that nobody has renewed: a worker that was killed leaves its card idle."""
FAN_RPM = (900, 3800)
"""At rest, and at the critical temperature."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What a card did since some moment."""

    load: float
    """0 to 1."""
    cap_w: float
    fan: bool
    celsius: dict[str, float]
    """At that moment."""


def power_w(kind: CardKind, standing: Standing, *, since_s: float) -> float:
    """What it draws so long after."""
    load = standing.load if since_s <= HOLDS_S else 0.0
    return kind.idle_w + max(0.0, standing.cap_w - kind.idle_w) * load


def celsius(kind: CardKind, standing: Standing, *, since_s: float, tau_s: float = TAU_S) -> dict[str, float]:
    """How warm it is so long after: while the load holds, then at rest."""
    loaded_s = min(since_s, HOLDS_S)
    loaded = settled(kind, power_w=power_w(kind, standing, since_s=loaded_s), fan=standing.fan)
    warm = relaxed(standing.celsius, loaded, share=loaded_s / tau_s)
    rest = settled(kind, power_w=kind.idle_w, fan=standing.fan)
    return relaxed(warm, rest, share=max(0.0, since_s - HOLDS_S) / tau_s)


def settled(kind: CardKind, *, power_w: float, fan: bool = True) -> dict[str, float]:
    """Where the temperatures end if it goes on drawing so much."""
    share = power_w / kind.cap_w * (1.0 if fan else FAN_LOST)
    return {label: ROOM_CELSIUS + RISE_CELSIUS[label] * share for label in kind.limits}


def fan_rpm(kind: CardKind, warmth: dict[str, float], *, fan: bool) -> int:
    """Faster the nearer the hottest sensor is to its limit; 0 for a fan that has stopped."""
    if not fan:
        return 0
    share = max((warmth[label] - ROOM_CELSIUS) / (limits[0] - ROOM_CELSIUS) for label, limits in kind.limits.items())
    slowest, fastest = FAN_RPM
    return round(slowest + (fastest - slowest) * min(1.0, max(0.0, share)))


def relaxed(start: dict[str, float], targets: dict[str, float], *, share: float) -> dict[str, float]:
    """From one state towards another, `share` time constants later."""
    kept = math.exp(-share)
    return {label: target + (start.get(label, target) - target) * kept for label, target in targets.items()}
