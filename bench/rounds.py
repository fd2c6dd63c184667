"""Arithmetic of interleaved rounds: a noisy machine moves both sides of a pair, so pairs are compared and not means."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

__all__ = ["median", "median_ratio", "percentile"]


def median_ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """The median over the rounds of ours / theirs."""
    return median(our / their for our, their in zip(ours, theirs, strict=True))


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest value that `percent` of all do not exceed (nearest rank)."""
    ordered = sorted(values)
    rank = -(-len(ordered) * percent // 100)
    return ordered[max(0, int(rank) - 1)]
