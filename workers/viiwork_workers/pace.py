"""How many tokens a second an engine writes, from how many it says that it has written."""

from __future__ import annotations

from collections import deque

WINDOW_S = 10.0
APART_S = 0.5
"""Looks nearer to each other than this tell nothing new."""


class Pace:
    """Tokens a second over the last ten. Moments are a monotonic clock's."""

    def __init__(self) -> None:
        self._looks: deque[tuple[float, int]] = deque()

    def see(self, tokens: int, *, now_s: float) -> None:
        """What the engine says that it has written since it was started; 0 is also said by one that does not count."""
        looks = self._looks
        if looks and tokens < looks[-1][1]:  # it was started again, and counts anew
            looks.clear()
        if not looks or now_s >= looks[-1][0] + APART_S:
            looks.append((now_s, tokens))
        while len(looks) > 2 and now_s - looks[1][0] >= WINDOW_S:
            looks.popleft()

    @property
    def tokens_per_s(self) -> float | None:
        """None before the second look, and for an engine that has told of no token yet."""
        if len(self._looks) < 2 or not self._looks[-1][1]:
            return None
        (start_s, before), (end_s, after) = self._looks[0], self._looks[-1]
        return round((after - before) / (end_s - start_s), 1)
