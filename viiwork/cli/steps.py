"""Progress of long work on this computer: a line that changes on a terminal, some lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType

from viiwork.cli.pace import Milestones
from viiwork.cli.progress import SHORT_S
from viiwork.cli.screen import err, plain, say
from viiwork.store.backup import Step

MIB = 1024 * 1024


class Steps:
    """`with Steps() as steps: work(told=steps.show)`. May be told from another thread."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._console = err()
        self._status = self._console.status(plain("beginning"))
        self._what, self._began_s = "", 0.0
        self._told = Milestones()

    def __enter__(self) -> Steps:
        if self._console.is_terminal:
            self._status.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._status.stop()

    def show(self, step: Step) -> None:
        """How far it is."""
        if self._console.is_terminal:
            self._status.update(plain(describe(step)))
            return
        now_s = self._clock()
        if step.what != self._what:
            self._what, self._began_s, self._told = step.what, now_s, Milestones()
            if not step.done:
                say(describe(step))
        elif now_s - self._began_s >= SHORT_S and self._told.reached(
            now_s, step.done / step.total if step.total else 0.0
        ):
            say(describe(step))


def describe(step: Step) -> str:
    """`packing the files: 12.0 of 40.0 MiB`, `restoring the records: 400 of 1000 keys`."""
    if not step.done:
        return step.what
    if step.unit != "bytes":
        return f"{step.what}: {step.done} of {step.total} {step.unit}" if step.total else f"{step.what}: {step.done}"
    of = f" of {step.total / MIB:.1f}" if step.total else ""
    return f"{step.what}: {step.done / MIB:.1f}{of} MiB"
