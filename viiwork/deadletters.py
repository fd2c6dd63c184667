"""Dead letters as they travel over HTTP: a page of them, and what came of retrying or purging some."""

from __future__ import annotations

from viiwork.jobs import Status
from viiwork.wire import Wire

MOST = 500
"""Dead letters one request may list, retry or purge."""


class DeadPage(Wire):
    """Some dead jobs, the last to die first."""

    dead: tuple[Status, ...] = ()
    before: int | None = None
    """What to ask with for older ones; None when there are none."""


class Refusal(Wire):
    """A job that was left as it was, and why."""

    id: str
    code: str
    message: str


class DeadSweep(Wire):
    """What came of retrying or purging many."""

    done: int = 0
    refused: tuple[Refusal, ...] = ()
    before: int | None = None
    """What to ask with to go on; None when all have been looked at."""

    @property
    def more(self) -> bool:
        return self.before is not None
