"""What the signals mean to a worker: the first lets it finish what runs, a second has it give that back at once.

Celery's own second signal is its cold shutdown, which ends with code 1, and a second SIGTERM it ignores. Either way
a worker ends with code 0 here, and no job is lost or charged: nothing went wrong.
"""

from __future__ import annotations

import signal
from types import FrameType

from celery.platforms import EX_OK
from celery.worker import state

from viiwork_workers.station import Station

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)


class Ending:
    """Hears the signals. What it does in a handler is set attributes: a lock might be held there."""

    def __init__(self) -> None:
        self.station: Station | None = None
        """Set once the engine is loaded; before that a signal ends the worker at once."""

    def listen(self) -> None:
        """Take the signals over from Celery, which has put its own handlers there by now. In the main thread only."""
        for number in SIGNALS:
            signal.signal(number, self._heard)

    @staticmethod
    def over() -> None:
        """Ignore the signals from here on.

        Python puts the deadly defaults back while it goes down: a signal that came then made an end with code -15 of
        a worker that had given everything back (seen once in ten runs).
        """
        for number in SIGNALS:
            signal.signal(number, signal.SIG_IGN)

    def _heard(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002 - the handler's signature
        again = state.should_stop is not None
        state.should_stop = EX_OK
        if self.station is not None and (again or number == signal.SIGQUIT):
            self.station.hurried = True
