"""How far an analysis is, for whoever waits: a bar on a terminal, a line that changes in a notebook, else few lines."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Protocol, Self, TextIO

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from viiwork.jobs import BatchStatus

NOTEBOOK = "ipykernel"
"""The package whose streams a notebook's cells write to."""


class Display(Protocol):
    """Shows how far an analysis is until it is left."""

    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
    def progress(self, status: BatchStatus, /) -> None: ...


def display(*, hidden: bool = False, stream: TextIO | None = None) -> Display:
    """The display that fits `stream` (standard error, in a notebook its output)."""
    if hidden:
        return Hidden()
    if stream is None:
        stream = sys.stdout if _of_notebook(sys.stdout) else sys.stderr
    if _of_notebook(stream):
        return Line(stream)
    return Bar(stream) if stream.isatty() else Tenths(stream)


def words(status: BatchStatus) -> str:
    """`12 of 40 done, 1 failed`."""
    counts = status.counts
    parts = [f"{counts.settled} of {counts.total} done"]
    parts += [f"{counts.failed} failed"] if counts.failed else []
    parts += [f"{counts.cancelled} cancelled"] if counts.cancelled else []
    parts += ["paused"] if status.paused and not status.finished else []
    return ", ".join(parts)


class Hidden:
    """Shows nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    def progress(self, _status: BatchStatus, /) -> None:
        return None


class Bar(Hidden):
    """A bar on a terminal."""

    def __init__(self, stream: TextIO) -> None:
        columns = (TextColumn("{task.description}"), BarColumn(bar_width=None), TextColumn("{task.fields[note]}"))
        self._bars = Progress(*columns, console=Console(file=stream))
        self._task = self._bars.add_task("Analysing", total=None, note="")

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()

    def progress(self, status: BatchStatus, /) -> None:
        counts = status.counts
        self._bars.update(self._task, total=max(1, counts.total), completed=counts.settled, note=words(status))


class Line(Hidden):
    """One line that is written over: notebooks keep what they have shown, so a line for each look would fill pages."""

    def __init__(self, stream: TextIO) -> None:
        self._stream, self._shown = stream, ""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._shown:
            self._stream.write("\n")
            self._stream.flush()

    def progress(self, status: BatchStatus, /) -> None:
        if (text := words(status)) != self._shown:
            self._stream.write("\r" + text.ljust(len(self._shown)))
            self._stream.flush()
            self._shown = text


class Tenths(Hidden):
    """A line at the start, at every tenth and at the end."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._told: tuple[int, bool] | None = None

    def progress(self, status: BatchStatus, /) -> None:
        now = (10 * status.counts.settled // max(1, status.counts.total), status.finished)
        if now != self._told:
            self._told = now
            self._stream.write(f"{words(status)}\n")
            self._stream.flush()


def _of_notebook(stream: TextIO) -> bool:
    return type(stream).__module__.partition(".")[0] == NOTEBOOK
