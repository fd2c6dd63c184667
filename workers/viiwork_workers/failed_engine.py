"""An engine that was given up: its worker is quarantined with the reason, and it tries again when that is lifted."""

from __future__ import annotations

import logging

from viiwork.errors import StoreUnavailable
from viiwork.store import Store
from viiwork_workers.engines.base import Engine, Signals

log = logging.getLogger(__name__)

PATIENCE = 10
"""Looks after a try at which the engine still says the old: then nobody heard that it was to try."""


class FailedEngine:
    """Looks at one engine, on its loop.

    The store is asked, not the beats: a quarantine that is lifted between two of them was never in one.
    """

    def __init__(self, engine: Engine, store: Store, *, worker: str) -> None:
        self._engine = engine
        self._store = store
        self._worker = worker
        self._failure: tuple[str, int] | None = None
        """Why it was given up, and after how many starts: what its worker was quarantined for."""
        self._tries = 0
        """Looks since the quarantine was lifted and it was told to try."""
        self._adopting = True
        """Nothing was seen yet: what failed before was an earlier worker's to tell, and may be lifted since."""

    async def look(self) -> None:
        """Quarantine the worker once for each failure; have the engine try again once that is lifted."""
        signals = self._engine.signals()
        adopting, self._adopting = self._adopting, False
        if signals is None or not signals.failed:
            self._failure = None
            return
        if adopting:
            self._failure = _failure_of(signals)
        try:
            await self._mind(signals)
        except StoreUnavailable as error:
            log.warning("the quarantine waits for the next look: %s", error)

    async def _mind(self, signals: Signals) -> None:
        failure = _failure_of(signals)
        if failure != self._failure or self._tries > PATIENCE:
            await self._store.quarantine(self._worker, signals.failed)
            self._failure, self._tries = failure, 0
        elif self._worker in await self._store.quarantined():
            self._tries = 0
        else:
            if not self._tries:
                self._engine.again()
            self._tries += 1


def _failure_of(signals: Signals) -> tuple[str, int]:
    return signals.failed, signals.restarts
