"""How far `viiwork bench` is: a bar on a terminal, a line a step elsewhere."""

from __future__ import annotations

import time
from types import TracebackType

from rich.progress import BarColumn, Progress, TextColumn

from viiwork.cli.pace import duration
from viiwork.cli.screen import err, say


class BenchBar:
    """`with BenchBar(total_s) as bar`: tell it what is being measured, as often as you like."""

    def __init__(self, total_s: float) -> None:
        columns = (TextColumn("{task.description}"), BarColumn(bar_width=None), TextColumn("{task.fields[note]}"))
        self._terminal = err().is_terminal
        self._bar = Progress(*columns, console=err(), transient=True, refresh_per_second=4)
        self._task = self._bar.add_task("Measuring", total=max(1.0, total_s), note="")
        self._total_s, self._begin_s, self._doing = total_s, time.monotonic(), ""

    def __enter__(self) -> BenchBar:
        if self._terminal:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def told(self, doing: str) -> None:
        """What is being measured now."""
        gone_s = time.monotonic() - self._begin_s
        if self._terminal:
            left = f"about {duration(self._total_s - gone_s)} left" if gone_s < self._total_s else "a little longer"
            self._bar.update(self._task, description=doing, completed=min(gone_s, 0.99 * self._total_s), note=left)
        elif doing != self._doing:
            say(f"{doing} (after {duration(gone_s)})")
        self._doing = doing
