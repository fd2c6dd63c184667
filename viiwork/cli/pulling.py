"""How a pull is shown on standard error: a bar on a terminal; elsewhere a line a file, and some within large ones."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType
from typing import Protocol

from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from viiwork.cli.pace import Milestones
from viiwork.cli.progress import SHORT_S
from viiwork.cli.screen import err, one_line, plain, say
from viiwork.models.pull import Watcher

KIB, MIB, GIB = 1024, 1024**2, 1024**3
NAME_COLUMNS = 34


class Display(Watcher, Protocol):
    """A watcher that takes the screen and gives it back."""

    def __enter__(self) -> Display: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def display() -> Display:
    """The display that fits standard error."""
    return Bar() if err().is_terminal else Lines()


def size_text(size_bytes: float) -> str:
    """`4.6 GiB`, `12.0 MiB`, `3.8 KiB`, `17 bytes`."""
    for unit, name in ((GIB, "GiB"), (MIB, "MiB"), (KIB, "KiB")):
        if size_bytes >= unit:
            return f"{size_bytes / unit:.1f} {name}"
    return f"{size_bytes:.0f} bytes"


def plan_text(commit: str, *, files: int, total_bytes: int, here_bytes: int) -> str:
    """`commit 8f2c…: 7 files, 4.6 GiB, of which 1.2 GiB are here`."""
    here = f", of which {size_text(here_bytes)} are here" if here_bytes else ""
    return f"commit {commit}: {files} {'file' if files == 1 else 'files'}, {size_text(total_bytes)}{here}"


class Bar:
    """One bar for all files: bytes, speed, time left."""

    def __init__(self) -> None:
        self._bar = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=None),
            DownloadColumn(binary_units=True),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
            console=err(),
            refresh_per_second=8,
        )
        self._task = self._bar.add_task("listing", total=None)

    def __enter__(self) -> Bar:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def planned(self, commit: str, *, files: int, total_bytes: int, here_bytes: int) -> None:
        self.remark(plan_text(commit, files=files, total_bytes=total_bytes, here_bytes=here_bytes))
        self._bar.update(self._task, total=total_bytes, completed=here_bytes)

    def begun(self, path: str, size: int) -> None:  # noqa: ARG002 - the bar shows all files as one
        name = one_line(path)
        shown = name if len(name) <= NAME_COLUMNS else f"…{name[1 - NAME_COLUMNS :]}"
        self._bar.update(self._task, description=shown)

    def came(self, more_bytes: int) -> None:
        self._bar.advance(self._task, more_bytes)

    def done(self, path: str, size: int, how: str) -> None:
        pass

    def remark(self, text: str) -> None:
        self._bar.console.print(plain(text), soft_wrap=True)


class Lines:
    """A line when a file is here; while one takes long, at every tenth of them all and every minute."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._began_s = 0.0
        self._came = 0
        self._here_bytes, self._total_bytes = 0, 0
        self._told = Milestones()

    def __enter__(self) -> Lines:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    def planned(self, commit: str, *, files: int, total_bytes: int, here_bytes: int) -> None:
        say(plan_text(commit, files=files, total_bytes=total_bytes, here_bytes=here_bytes))
        self._here_bytes, self._total_bytes = here_bytes, total_bytes
        self._is_worth_a_line()

    def begun(self, path: str, size: int) -> None:  # noqa: ARG002 - told when it is done
        self._began_s, self._came = self._clock(), 0

    def came(self, more_bytes: int) -> None:
        self._came += max(0, more_bytes)
        self._here_bytes += more_bytes
        if self._clock() - self._began_s >= SHORT_S and self._is_worth_a_line():
            share = self._here_bytes / max(1, self._total_bytes)
            say(f"{size_text(self._here_bytes)} of {size_text(self._total_bytes)} ({share:.0%}){self._speed()}")

    def done(self, path: str, size: int, how: str) -> None:
        say(f"{path} ({size_text(size)}{self._speed()}): {how}")
        self._is_worth_a_line(at_once=True)

    def remark(self, text: str) -> None:
        say(text)

    def _is_worth_a_line(self, *, at_once: bool = False) -> bool:
        return self._told.reached(self._clock(), self._here_bytes / max(1, self._total_bytes), at_once=at_once)

    def _speed(self) -> str:
        """Of the file that is fetched; nothing where little of it was."""
        took_s = self._clock() - self._began_s
        return f", {size_text(self._came / took_s)} a second" if self._came >= MIB and took_s > 0 else ""
