"""When a process that ended is started again, and when it is given up. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace

QUICK_S = 30.0
"""A process that lived shorter, or that was never ready, did not get going."""
MAX_QUICK_DEATHS = 5
HOPELESS_CODE = 2
"""The exit code for wrong usage or settings: the next start would end the same way."""
FIRST_DELAY_S = 1.0
LONGEST_DELAY_S = 30.0


@dataclass(frozen=True, slots=True)
class Restarts:
    """How often a process was started again, and how many quick deaths it died in a row."""

    total: int = 0
    quick_deaths: int = 0

    def after(self, *, lived_s: float, was_ready: bool, returncode: int) -> tuple[Restarts, float | None]:
        """The record after one more death, and the seconds to wait before the next start; None gives up."""
        quick = lived_s < QUICK_S or not was_ready
        if returncode == HOPELESS_CODE and not was_ready:
            return self, None
        deaths = self.quick_deaths + 1 if quick else 0
        if deaths >= MAX_QUICK_DEATHS:
            return replace(self, quick_deaths=deaths), None
        return Restarts(self.total + 1, deaths), backoff_s(deaths)


def backoff_s(quick_deaths: int) -> float:
    """1 s after a first quick death (or a death in full work), then twice as long each time, up to 30 s."""
    return min(LONGEST_DELAY_S, FIRST_DELAY_S * 2.0 ** max(0, quick_deaths - 1))
