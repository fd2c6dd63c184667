"""The same complaint once in a while, not at every try: a night without Redis must not fill the disk with logs."""

from __future__ import annotations

import logging

PERIOD_S = 30.0
AT_ONCE = 5
"""So many lines of one kind pass before they count as repetition."""


class Seldom(logging.Filter):
    """Lets a burst of each message through, then one a period. Messages are the same when their templates are."""

    def __init__(self, *, at_once: int = AT_ONCE, period_s: float = PERIOD_S) -> None:
        super().__init__()
        self._at_once = at_once
        self._period_s = period_s
        self._seen: dict[str, tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether to write it."""
        template = str(record.msg)
        since_s, count = self._seen.get(template, (record.created, 0))
        passed_s = record.created - since_s
        if passed_s >= self._period_s:
            goes_on = count > self._at_once and passed_s < 2 * self._period_s
            since_s, count = record.created, self._at_once - 1 if goes_on else 0
        self._seen[template] = (since_s, count + 1)
        return count < self._at_once
