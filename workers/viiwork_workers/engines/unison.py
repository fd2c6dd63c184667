"""When what is done once a period is done next: all of one event loop at the same moment.

What an idle worker costs is its wakings, 0.3 ms of a processor each, whatever they are for (measured).
"""

from __future__ import annotations

LEAST = 0.5
"""Of a period: nothing comes sooner than this after what came before."""


def pause_s(period_s: float, *, now_s: float) -> float:
    """From `now_s` of the loop's clock to the next multiple of the period that is not too near."""
    left_s = period_s - now_s % period_s
    return left_s if left_s >= LEAST * period_s else left_s + period_s
