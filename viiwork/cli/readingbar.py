"""How far reading documents on this computer is: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import time
from types import TracebackType

from rich.progress import BarColumn, Progress, TextColumn

from viiwork.cli.pace import Milestones
from viiwork.cli.screen import err, say

SHORT_S = 5.0
"""Reading that takes no longer is not worth a line."""


class ReadingBar:
    """`with ReadingBar(files) as bar`: `bar.seen(count)` with how many are done."""

    def __init__(self, files: int) -> None:
        columns = (TextColumn("Reading"), BarColumn(bar_width=None), TextColumn("{task.completed} of {task.total}"))
        self._terminal = err().is_terminal
        self._bar = Progress(*columns, console=err(), transient=True, refresh_per_second=4)
        self._task = self._bar.add_task("", total=files)
        self._files, self._begin_s, self._told = files, time.monotonic(), Milestones()

    def __enter__(self) -> ReadingBar:
        if self._terminal:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def seen(self, count: int) -> None:
        """So many are done."""
        now_s = time.monotonic()
        if self._terminal:
            self._bar.update(self._task, completed=count)
        elif now_s - self._begin_s >= SHORT_S and self._told.reached(now_s, count / max(1, self._files)):
            say(f"reading: {count} of {self._files} files")
