"""How fast an analysis goes, from what was seen of it lately; and when that is worth a line."""

from __future__ import annotations

from collections import deque

WINDOW_S = 60.0
LINE_EVERY_S = 60.0
LINE_EVERY_SHARE = 0.1


class Pace:
    """Rate and time left over a sliding window; times are a monotonic clock's."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int]] = deque()

    def see(self, now_s: float, settled: int) -> None:
        """Note that `settled` documents had ended at `now_s`."""
        self._seen.append((now_s, settled))
        while len(self._seen) > 2 and now_s - self._seen[1][0] > WINDOW_S:
            self._seen.popleft()

    @property
    def per_second(self) -> float:
        """Documents a second; 0 while that is unknown."""
        if len(self._seen) < 2:
            return 0.0
        (start_s, before), (end_s, after) = self._seen[0], self._seen[-1]
        return (after - before) / (end_s - start_s) if end_s > start_s else 0.0

    def left_s(self, remaining: int) -> float | None:
        """Seconds until `remaining` more have ended; None while that is unknown."""
        rate = self.per_second
        return remaining / rate if rate > 0 else None


class Milestones:
    """When progress is worth a line of a log: at once, then ten points further on or a minute later."""

    def __init__(self) -> None:
        self._share, self._at_s = -1.0, 0.0

    def reached(self, now_s: float, share: float, *, at_once: bool = False) -> bool:
        """Whether `share` (0 to 1) is to be told at `now_s`, by a monotonic clock; it counts as told then."""
        further = self._share < 0 or share - self._share >= LINE_EVERY_SHARE - 1e-9
        if not (at_once or further or now_s - self._at_s >= LINE_EVERY_S):
            return False
        self._share, self._at_s = share, now_s
        return True


def duration(seconds: float | None) -> str:
    """Seconds as people say them: `8 s`, `3 min`, `2 h 05 min`."""
    if seconds is None:
        return "unknown"
    whole = round(seconds)
    if whole < 100:
        return f"{whole} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60:02} min"
