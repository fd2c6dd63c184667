"""Who tells people and programs what the supervisor does, from whichever thread it is said."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

from viiwork.fleet.report import Event, EventKind, FleetReport, Report


class Herald:
    """What it tells goes to one report, in the thread of the supervisor's loop."""

    def __init__(self, report: Report) -> None:
        self._report = report

    def progress(self, text: str) -> None:
        """What is being done now."""
        self.tell("progress", text)

    def notice(self, text: str) -> None:
        """What somebody should know."""
        self.tell("notice", text)

    def tell(self, kind: EventKind, text: str = "", *, fleet: FleetReport | None = None) -> None:
        """At once. A terminal may be gone, or the reader of a pipe (for which Rich would leave the program); the fleet
        stays.
        """
        with suppress(OSError, ValueError, SystemExit):
            self._report(Event(kind=kind, text=text, fleet=fleet))

    def from_afar(self, kind: EventKind) -> Callable[[str], None]:
        """To be called in another thread; it is told in that of the loop which runs now."""
        loop = asyncio.get_running_loop()

        def tell(text: str) -> None:
            with suppress(RuntimeError):  # the loop has ended: nobody listens
                loop.call_soon_threadsafe(self.tell, kind, text)

        return tell
