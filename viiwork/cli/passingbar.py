"""A bar on a terminal that is gone once all is done. Elsewhere there is none: its owner says what is worth a line."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from rich.progress import BarColumn, Progress, TextColumn

from viiwork.cli.screen import err


class PassingBar:
    """`with PassingBar(total, "Reading") as bar`. `doing` stands before it, a note of how far it is behind it."""

    def __init__(self, total: float, doing: str) -> None:
        columns = (TextColumn("{task.description}"), BarColumn(bar_width=None), TextColumn("{task.fields[note]}"))
        self.shown = err().is_terminal
        self._bar = Progress(*columns, console=err(), transient=True, refresh_per_second=4)
        self._task = self._bar.add_task(doing, total=total, note="")

    def __enter__(self) -> Self:
        if self.shown:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def show(self, completed: float, note: str, *, doing: str | None = None) -> None:
        """How far it is."""
        self._bar.update(self._task, description=doing, completed=completed, note=note)
