"""When a callback that failed is tried again, and when it is given up. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass

STEP = 3.0
"""Each pause is so many times the one before: 5 s, 15 s, 45 s, …, 3 h, then every 6 h by default."""
SPREAD = 0.2
"""A pause is up to so much of itself shorter, by lot: receivers that come back are not met by all at once."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long and how often a receiver is tried. Seconds."""

    base_s: float
    cap_s: float
    give_up_s: float

    def pause_s(self, *, tries: int, age_s: float, lot: float, asked_s: float = 0.0) -> float | None:
        """The pause after `tries` tries of a callback that is `age_s` old; None gives it up. `lot` is 0 to 1.

        `asked_s` is what the receiver asked for. The last try is at the very end of the time, not before it.
        """
        if age_s >= self.give_up_s:
            return None
        grown = self.base_s * STEP ** min(tries - 1, math.ceil(math.log(max(self.cap_s / self.base_s, 1), STEP)))
        pause_s = min(self.cap_s, max(grown, asked_s)) * (1 - SPREAD * lot)
        return min(pause_s, max(1.0, self.give_up_s - age_s))


def asked_s(retry_after: str) -> float:
    """The seconds in a `Retry-After` header; 0 for a date or nonsense."""
    return float(retry_after) if retry_after.isascii() and retry_after.isdigit() and len(retry_after) < 8 else 0.0
