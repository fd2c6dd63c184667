"""How far reading documents on this computer is: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import time

from viiwork.cli.pace import Milestones
from viiwork.cli.passingbar import PassingBar
from viiwork.cli.screen import say

SHORT_S = 5.0
"""Reading that takes no longer is not worth a line."""


class ReadingBar(PassingBar):
    """`with ReadingBar(files) as bar`: `bar.seen(count)` with how many are done."""

    def __init__(self, files: int) -> None:
        super().__init__(files, "Reading")
        self._files, self._begin_s, self._told = files, time.monotonic(), Milestones()
        self.seen(0)

    def seen(self, count: int) -> None:
        """So many are done."""
        now_s = time.monotonic()
        if self.shown:
            self.show(count, f"{count} of {self._files}")
        elif now_s - self._begin_s >= SHORT_S and self._told.reached(now_s, count / max(1, self._files)):
            say(f"reading: {count} of {self._files} files")
