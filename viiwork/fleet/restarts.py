"""When a process that ended is started again, and when it is given up. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace

QUICK_S = 30.0
"""A process that lived shorter, or that was never ready, did not get going."""
MAX_QUICK_DEATHS = 5
"""After so many in a row a process is given up, or tried at the longest delay when the running fleet needs it."""
HOPELESS_CODE = 2
"""The exit code for wrong usage or settings: the next start would end the same way."""
FIRST_DELAY_S = 1.0
LONGEST_DELAY_S = 30.0


@dataclass(frozen=True, slots=True)
class Restarts:
    """How often a process was started again, how many quick deaths it died in a row, whether it ever worked."""

    total: int = 0
    quick_deaths: int = 0
    ever_ready: bool = False

    @property
    def slow(self) -> bool:
        """Whether it died so often that it is tried only now and then."""
        return self.quick_deaths >= MAX_QUICK_DEATHS

    def after(
        self, *, lived_s: float, was_ready: bool, returncode: int, needed: bool = False
    ) -> tuple[Restarts, float | None]:
        """The record after one more death, and the seconds to wait before the next start; None gives up.

        `needed` says that the fleet was announced: people's work waits for what once did its part, so that is never
        given up, whatever it dies of.
        """
        ever_ready = self.ever_ready or was_ready
        deaths = self.quick_deaths + 1 if lived_s < QUICK_S or not was_ready else 0
        died = replace(self, quick_deaths=deaths, ever_ready=ever_ready)
        hopeless = died.slow or (returncode == HOPELESS_CODE and not was_ready)
        if hopeless and not (needed and ever_ready):
            return died, None
        return replace(died, total=self.total + 1), backoff_s(deaths)


def backoff_s(quick_deaths: int) -> float:
    """1 s after a first quick death (or a death in full work), then twice as long each time; 30 s from the fifth on."""
    if quick_deaths >= MAX_QUICK_DEATHS:  # also bounds the power below: the deaths of a night are many
        return LONGEST_DELAY_S
    return min(LONGEST_DELAY_S, FIRST_DELAY_S * 2.0 ** max(0, quick_deaths - 1))
