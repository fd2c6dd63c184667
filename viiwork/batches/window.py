"""How long a batch may take: the OpenAI API's `24h`, and any other number of minutes, hours or days."""

from __future__ import annotations

import re

WINDOW = re.compile(r"([1-9][0-9]{0,5})([mhd])")
UNIT_S = {"m": 60, "h": 3600, "d": 86_400}
LONGEST_S = 366 * 86_400


def seconds_of(window: str) -> float | None:
    """The seconds of `24h`; None for what is no window, or one of more than a year."""
    found = WINDOW.fullmatch(window)
    seconds = int(found[1]) * UNIT_S[found[2]] if found else 0
    return float(seconds) if 0 < seconds <= LONGEST_S else None
