"""Work that somebody follows and that does not move: what it waits for is asked of the fleet now and then."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from viiwork.cli.awaited import NOTHING, Awaited, awaited, kind_of
from viiwork.errors import Forbidden, NotFound, Unauthorized, ViiworkError
from viiwork.jobs import Lane
from viiwork.roster import FleetStatus

LOOK_AFTER_S = 8.0
"""Without progress, before the fleet is asked first."""
LOOK_EVERY_S = 10.0

Ask = Callable[[], FleetStatus]


class Standstill:
    """Of one analysis, batch or job; `ask` is `GET /v1/fleet`. A key that may not see the fleet is told nothing."""

    def __init__(
        self,
        ask: Ask,
        model: str,
        lane: Lane,
        *,
        reads: bool = False,
        told: str = "",
        after_s: float = LOOK_AFTER_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ask, self._model, self._lane, self._reads = ask, model, lane, reads
        self._after_s, self._clock = after_s, clock
        self._next_s = clock() + after_s
        self._asked_s = -LOOK_EVERY_S
        self._told = kind_of(told)
        """What kind of thing was told last; `told` was said by somebody else."""
        self.may = True
        """Whether whoever follows it may see the fleet."""
        self.found: Awaited = NOTHING
        """What it waits for, by the last look."""

    @property
    def pause_s(self) -> float:
        """Until the next look is due."""
        return max(0.0, self._next_s - self._clock())

    def moved(self) -> None:
        """Something came: what it waited for is over."""
        self._next_s = max(self._clock() + self._after_s, self._asked_s + LOOK_EVERY_S)
        self.found, self._told = NOTHING, ""

    def look(self) -> str:
        """A sentence where there is something new to be told, after a look if one is due; mostly empty."""
        if not self.may or self.pause_s:
            return ""
        self._asked_s = self._clock()
        self._next_s = self._asked_s + LOOK_EVERY_S
        try:
            fleet = self._ask()
        except (Unauthorized, Forbidden, NotFound):
            self.may = False
            return ""
        except ViiworkError:  # the road of whoever follows tells what is wrong
            return ""
        self.found = awaited(fleet, self._model, self._lane, reads=self._reads, now=datetime.now(UTC))
        kind = kind_of(self.found.told)
        news, self._told = kind != self._told, kind
        return self.found.told if news else ""


@contextmanager
def watched(standstill: Standstill, tell: Callable[[str], None]) -> Iterator[None]:
    """Look on a thread of its own, for whoever waits for the next word of a stream."""
    over = threading.Event()

    def run() -> None:
        while standstill.may and not over.wait(max(0.05, standstill.pause_s)):
            try:
                news = standstill.look()
            except Exception:  # noqa: BLE001 - such as that the client was closed meanwhile: no look may spoil an answer
                return
            if news and not over.is_set():
                tell(news)

    thread = threading.Thread(target=run, name="standstill", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
