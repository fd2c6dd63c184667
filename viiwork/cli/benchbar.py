"""How far `viiwork bench` is: a bar on a terminal, a line a step elsewhere."""

from __future__ import annotations

import time

from viiwork.cli.pace import duration
from viiwork.cli.passingbar import PassingBar
from viiwork.cli.screen import say


class BenchBar(PassingBar):
    """`with BenchBar(total_s) as bar`: tell it what is being measured, as often as you like."""

    def __init__(self, total_s: float) -> None:
        super().__init__(max(1.0, total_s), "Measuring")
        self._total_s, self._begin_s, self._doing = total_s, time.monotonic(), ""

    def told(self, doing: str) -> None:
        """What is being measured now."""
        gone_s = time.monotonic() - self._begin_s
        if self.shown:
            left = f"about {duration(self._total_s - gone_s)} left" if gone_s < self._total_s else "a little longer"
            self.show(min(gone_s, 0.99 * self._total_s), left, doing=doing)
        elif doing != self._doing:
            say(f"{doing} (after {duration(gone_s)})")
        self._doing = doing
