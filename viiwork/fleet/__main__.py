"""`python -m viiwork.fleet`: the supervisor without a terminal, as `viiwork up --detach` starts it."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from contextlib import suppress

from viiwork.errors import ViiworkError
from viiwork.fleet.detach import as_fault
from viiwork.fleet.report import SECONDS, Event
from viiwork.fleet.supervisor import keep_up
from viiwork.settings import load_settings


def main() -> int:
    """Run the fleet that the environment describes; answers the exit code."""
    log = Log()

    def report(event: Event) -> None:
        log.note(event)
        to_pipe(event)

    try:
        asyncio.run(keep_up(load_settings(), report=report))
    except ViiworkError as error:
        report(Event(kind="failed", text=str(error), fault=as_fault(error)))
        return error.exit_code
    return 0


class Log:
    """What happens in words on standard error, which is `logs/up.log`: each thing once, however often it is said."""

    def __init__(self) -> None:
        self._last = ""

    def note(self, event: Event) -> None:
        """One line, if it is news: that a model still loads is none."""
        news = SECONDS.sub("", event.text)
        if news and news != self._last:
            self._last = news
            with suppress(OSError):  # a full disk
                sys.stderr.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {event.text}\n")
                sys.stderr.flush()


def to_pipe(event: Event) -> None:
    """One line on standard output for whoever started it; once the fleet is ready nobody reads there."""
    with suppress(BrokenPipeError):  # whoever started it may have been killed
        sys.stdout.write(event.model_dump_json(exclude_defaults=True) + "\n")
        sys.stdout.flush()
    if event.kind in ("ready", "failed"):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    sys.exit(main())
