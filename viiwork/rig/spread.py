"""Several figures of one thing: the one in the middle, and how far they lie apart. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True, slots=True)
class Spread:
    """Of some rounds."""

    median: float
    lowest: float
    highest: float
    rounds: int


def spread(values: Sequence[float | None]) -> Spread | None:
    """Of those that are known; None where none is."""
    known = [value for value in values if value is not None]
    return Spread(median(known), min(known), max(known), len(known)) if known else None


def median_of(found: Spread | None) -> float | None:
    """The figure in the middle, where there is one."""
    return None if found is None else found.median


def percentile(values: Sequence[float], percent: float) -> float | None:
    """The smallest value that `percent` of all do not exceed (nearest rank); None of nothing."""
    if not values:
        return None
    rank = -(-len(values) * percent // 100)
    return sorted(values)[max(0, int(rank) - 1)]
