"""Hours of the day and days of the week as people write them: `22:00-07:00`, `fri`. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

WRITTEN = re.compile(r"(\d{1,2}):([0-5]\d)-(\d{1,2}):([0-5]\d)")
DAY = 24 * 60
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
"""In the order of `datetime.weekday()`."""


@dataclass(frozen=True, slots=True)
class Hours:
    """From one minute of the day to before another; over midnight where the end is not after the start."""

    start: int
    """Minutes since midnight on the clock on the wall."""
    end: int
    """0 to 1440, not the start itself."""

    @property
    def over_midnight(self) -> bool:
        """Whether they end on the day after."""
        return self.end <= self.start

    def began(self, minute: int) -> int | None:
        """0 if at this minute they last since today, -1 if since yesterday, None if they do not last."""
        if not self.over_midnight:
            return 0 if self.start <= minute < self.end else None
        return 0 if minute >= self.start else -1 if minute < self.end else None


def read_hours(written: str) -> Hours:
    """The hours of `22:00-07:00`; `00:00-24:00` is the whole day. Raises ValueError with a sentence for people."""
    found = WRITTEN.fullmatch(written.strip())
    if found is None:
        raise ValueError(f"{written!r} is no span of hours: write it as 22:00-07:00")
    first_h, first_m, last_h, last_m = map(int, found.groups())
    start, end = first_h * 60 + first_m, last_h * 60 + last_m
    if start >= DAY or end > DAY:
        raise ValueError(f"{written!r} goes past the end of the day: from 00:00 to 24:00")
    if start == end:
        raise ValueError(f"{written!r} begins when it ends: the whole day is 00:00-24:00")
    return Hours(start, end)
