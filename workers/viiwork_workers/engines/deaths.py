"""How often an engine's process died, and how long to wait before it is started again. Pure."""

from __future__ import annotations

from dataclasses import dataclass

QUICK_S = 30.0
"""An engine that served for less died quickly."""
FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 30.0
MANY = 3
"""Quick deaths in a row after which people should be told."""


@dataclass(frozen=True, slots=True)
class Deaths:
    """`total` of this worker's life, and `quick` ones in a row."""

    total: int = 0
    quick: int = 0

    def after(self, *, served_s: float) -> Deaths:
        """The record after one more death; `served_s` is 0 for an engine that never came up."""
        return Deaths(self.total + 1, self.quick + 1 if served_s < QUICK_S else 1)

    @property
    def pause_s(self) -> float:
        """Half a second after the first death, then twice as long each time, half a minute at most."""
        doublings = min(max(0, self.quick - 1), 10)  # also bounds the power: the deaths of a night are many
        return min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2.0**doublings)

    @property
    def state(self) -> str:
        """For people, between the death and the next start."""
        return f"restarting ({self.quick} deaths)" if self.quick >= MANY else "restarting"
