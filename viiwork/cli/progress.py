"""Progress on standard error: a live bar on a terminal, a line at every tenth or every minute elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType
from typing import Protocol, Self

from rich.progress import BarColumn, Progress, TaskID, TextColumn

from viiwork import jobfile
from viiwork.cli.facts import failed_word, one_at_a_time
from viiwork.cli.pace import Milestones, Pace, duration
from viiwork.cli.screen import err, plain, say
from viiwork.client import progress
from viiwork.jobs import BatchStatus, Priority

SHORT_S = 5.0
"""An upload that takes no longer is not worth a line."""
KIB, MIB = 1024, 1024 * 1024


class Display(progress.Display, Protocol):
    """Shows how far an upload and an analysis are."""

    def upload(self, sent_bytes: int, total_bytes: int) -> None: ...
    def waits(self, short: str, news: str) -> None: ...


def display() -> Display:
    """The display that fits standard error."""
    return Bar() if err().is_terminal else Lines()


def describe(status: BatchStatus, pace: Pace, *, waits: str = "") -> str:
    """`12 of 40 done, 1 failed, 5 one at a time, 3.2 a second, 9 s left`; one that is paused, or waits for something in
    the fleet, has no time left to be told.
    """
    counts = status.counts
    parts = [f"{counts.settled} of {counts.total} done"]
    parts += [f"{counts.failed} {failed_word(status)}"] if counts.failed else []
    parts += [f"{counts.cancelled} cancelled"] if counts.cancelled else []
    parts += [f"{status.priority.value} priority"] if status.priority is not Priority.NORMAL else []
    if status.finished:
        return ", ".join(parts)
    parts += [f"{status.suspects} one at a time"] if status.suspects > 1 else []
    if status.paused:
        return ", ".join([*parts, "paused"])
    if status.held:
        return ", ".join([*parts, f"held: {status.held}"])
    if waits:
        return ", ".join([*parts, waits])
    parts += [f"{pace.per_second:.1f} a second"] if pace.per_second else []
    left_s = pace.left_s(counts.total - counts.settled)
    parts += [f"{duration(left_s)} left"] if left_s is not None else []
    return ", ".join(parts)


def doing(status: BatchStatus) -> str:
    """What is done with documents, or just the jobs of a file of jobs."""
    return "jobs" if status.task == jobfile.TASK else "analysing"


def upload_note(sent_bytes: int, total_bytes: int) -> str:
    """`1.5 of 12.0 MiB`; below 1 MiB `12.0 of 80.3 KiB`."""
    unit, name = (MIB, "MiB") if total_bytes >= MIB else (KIB, "KiB")
    return f"{sent_bytes / unit:.1f} of {total_bytes / unit:.1f} {name}"


def seen(pace: Pace, status: BatchStatus) -> Pace:
    """The pace with this status in it; a pause makes it begin anew, or what comes after would look slow."""
    if status.paused:
        return Pace()
    pace.see(time.monotonic(), status.counts.settled)
    return pace


class Bar(progress.Hidden):
    """A bar for the upload, then one for the documents or jobs."""

    def __init__(self) -> None:
        columns = (TextColumn("{task.description}"), BarColumn(bar_width=None), TextColumn("{task.fields[note]}"))
        self._bars = Progress(*columns, console=err(), transient=False, refresh_per_second=8)
        self._pace = Pace()
        self._upload: TaskID | None = None
        self._documents: TaskID | None = None
        self._suspects = 0
        self._waits = ""

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()

    def upload(self, sent_bytes: int, total_bytes: int) -> None:
        if self._upload is None:
            self._upload = self._bars.add_task("Uploading", note="")
        note = upload_note(sent_bytes, total_bytes)
        self._bars.update(self._upload, total=max(1, total_bytes), completed=sent_bytes, note=note)

    def waits(self, short: str, news: str) -> None:
        """What it waits for, in the bar's line, and above it the whole sentence once."""
        self._waits = short
        if news:
            self._bars.console.print(plain(news), soft_wrap=True)

    def progress(self, status: BatchStatus, /) -> None:
        self._pace = seen(self._pace, status)
        if self._documents is None:
            self._documents = self._bars.add_task(doing(status).capitalize(), note="")
        if status.suspects and not self._suspects:
            self._bars.console.print(plain(one_at_a_time(status.suspects)), soft_wrap=True)
        self._suspects = status.suspects
        note, counts = describe(status, self._pace, waits=self._waits), status.counts
        self._bars.update(self._documents, total=max(1, counts.total), completed=counts.settled, note=note)


class Lines(progress.Hidden):
    """A line when something begins, changes or ends, at every tenth and every minute."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._pace = Pace()
        self._upload_s: float | None = None
        self._sent, self._settled = Milestones(), Milestones()
        self._stands: tuple[object, ...] = ()
        self._said = ""
        self._suspects = 0
        self._waits = ""

    def upload(self, sent_bytes: int, total_bytes: int) -> None:
        now_s = self._clock()
        self._upload_s = now_s if self._upload_s is None else self._upload_s
        if now_s - self._upload_s < SHORT_S:
            return
        if self._sent.reached(now_s, sent_bytes / max(1, total_bytes), at_once=sent_bytes >= total_bytes):
            self._say(f"uploading: {upload_note(sent_bytes, total_bytes)}")

    def waits(self, short: str, news: str) -> None:
        self._waits = short
        if news:
            say(news)

    def progress(self, status: BatchStatus, /) -> None:
        self._pace = seen(self._pace, status)
        if status.suspects and not self._suspects:
            say(one_at_a_time(status.suspects))
        self._suspects = status.suspects
        stands = (status.state, status.paused, status.held, status.priority)
        changed, self._stands = stands != self._stands, stands
        share = status.counts.settled / max(1, status.counts.total)
        if self._settled.reached(self._clock(), share, at_once=changed):
            told = describe(status, self._pace, waits=self._waits)
            self._say(f"{doing(status)}: {told}", again=not status.paused)

    def _say(self, text: str, *, again: bool = False) -> None:
        """The same text twice only where it says that nothing moves although it should."""
        if again or text != self._said:
            say(text)
        self._said = text
