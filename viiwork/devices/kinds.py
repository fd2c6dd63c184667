"""Kinds of card that may be named without one at hand: `4xRadeonVII+2xMI50-32GB`. Data, and how such a list is read.

Caps, limits and idle draws are of the makers' sheets where they have them; idle watts, clocks at rest and temperature
limits are assumptions.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from viiwork.devices.base import Link
from viiwork.errors import UsageError

GIB = 1024**3
RADEON_VII_BYTES = 17_163_091_968
MOST_CARDS = 64
PART = re.compile(r"(?:(?P<count>\d{1,4})x)?(?P<kind>[a-z][a-z0-9-]*)", re.IGNORECASE)
PCIE3, PCIE4 = Link(8.0, 16, 8.0, 16), Link(16.0, 16, 16.0, 16)
VEGA_LIMITS = {"edge": (100.0, 105.0), "junction": (105.0, 110.0), "mem": (94.0, 99.0)}
CDNA_LIMITS = {"edge": (100.0, 105.0), "junction": (100.0, 105.0), "mem": (95.0, 100.0)}
NVIDIA_LIMITS = {"gpu": (90.0, 95.0)}


@dataclass(frozen=True, slots=True)
class CardKind:
    """What one sort of card is like."""

    key: str
    """How it is written in a list."""
    name: str
    arch: str
    vram_bytes: int
    cap_w: float
    """By default."""
    cap_max_w: float
    idle_w: float
    link: Link
    limits: dict[str, tuple[float, float]]
    """Critical and emergency degrees Celsius by sensor."""
    core_mhz: int
    memory_mhz: int
    nodes: int = 1
    """How many devices one card shows as."""


KINDS = (
    CardKind("RadeonVII", "Radeon VII", "gfx906", RADEON_VII_BYTES, 250, 300, 20, PCIE3, VEGA_LIMITS, 1801, 1001),
    CardKind("MI50", "Instinct MI50 16GB", "gfx906", RADEON_VII_BYTES, 300, 300, 20, PCIE4, VEGA_LIMITS, 1725, 1000),
    CardKind("MI50-32GB", "Instinct MI50 32GB", "gfx906", 32 * GIB, 300, 300, 20, PCIE4, VEGA_LIMITS, 1725, 1000),
    CardKind("MI60", "Instinct MI60", "gfx906", 32 * GIB, 300, 300, 20, PCIE4, VEGA_LIMITS, 1800, 1000),
    CardKind("MI100", "Instinct MI100", "gfx908", 32 * GIB, 290, 290, 35, PCIE4, CDNA_LIMITS, 1502, 1200),
    CardKind("MI210", "Instinct MI210", "gfx90a", 64 * GIB, 300, 300, 40, PCIE4, CDNA_LIMITS, 1700, 1600),
    CardKind(
        "MI250X", "Instinct MI250X (one die)", "gfx90a", 64 * GIB, 280, 280, 45, PCIE4, CDNA_LIMITS, 1700, 1600, 2
    ),
    CardKind("RTX3090", "GeForce RTX 3090", "sm_86", 24 * GIB, 350, 366, 25, PCIE4, NVIDIA_LIMITS, 1695, 9751),
    CardKind("RTX4090", "GeForce RTX 4090", "sm_89", 24 * GIB, 450, 600, 20, PCIE4, NVIDIA_LIMITS, 2520, 10501),
)
BY_KEY = {kind.key.lower(): kind for kind in KINDS}


def card_kinds(written: str, *, option: str = "devices") -> tuple[CardKind, ...]:
    """One entry a device of a list such as `4xRadeonVII+2xMI50-32GB`. Raises UsageError that names the wrong part."""
    kinds = tuple(kind for part in written.split("+") for kind in _part(part.strip(), option=option))
    if len(kinds) > MOST_CARDS:
        raise UsageError(f"{written}: these are {len(kinds)} cards.", hint=f"{MOST_CARDS} at most.", param=option)
    return kinds


def _part(part: str, *, option: str) -> tuple[CardKind, ...]:
    found = PART.fullmatch(part)
    if found is None:
        hint = "Write how many of which kind, such as 4xRadeonVII or 4xRadeonVII+2xMI50-32GB."
        raise UsageError(f"{part!r} in the list of cards cannot be read.", hint=hint, param=option)
    kind = BY_KEY.get(found["kind"].lower())
    if kind is None:
        hint = f"Known are {', '.join(each.key for each in KINDS)}."
        raise UsageError(f"{found['kind']!r} in the list of cards is no kind of card.", hint=hint, param=option)
    count = int(found["count"] or 1)
    if not 1 <= count <= MOST_CARDS:
        raise UsageError(f"{part!r} asks for {count} cards.", hint=f"1 to {MOST_CARDS} of a kind.", param=option)
    return (kind,) * (count * kind.nodes)
