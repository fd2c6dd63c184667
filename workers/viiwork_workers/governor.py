"""Looks at the engine once a second and sets how many jobs its worker may hold; none while it does not run."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from viiwork_workers.engines.base import Engine, Signals
from viiwork_workers.engines.unison import pause_s
from viiwork_workers.failed_engine import FailedEngine
from viiwork_workers.limit import Limit, Look
from viiwork_workers.station import Station

LOOK_S = 1.0


class Governor:
    """Runs on the engine's loop."""

    def __init__(self, engine: Engine, station: Station) -> None:
        self._engine = engine
        self._station = station
        self._limit = Limit.of(station.card.slots)
        self._preemptions = 0
        self._quick_faults = 0
        self._failed = FailedEngine(engine, station.executor.store, worker=station.card.name)
        station.executor.on_engine_lost = self.heed

    async def govern(self) -> None:
        """Until it is cancelled."""
        while True:
            self.look()
            await self._failed.look()
            await self._next_look()

    def look(self) -> None:
        """Learn from what the engine says, and set the limit."""
        signals = self._engine.signals()
        if signals is not None and signals.ready:
            self._limit = self._limit.after(self._seen(signals))
        self.heed()

    def heed(self) -> None:
        """Set the limit as it is: at once when the engine is found to be gone, so that nothing more is taken."""
        signals = self._engine.signals()
        ready = signals is None or signals.ready
        self._station.note_engine(signals, limit=self._limit.value if ready else 0)
        self._station.executor.admit(ready=ready)

    async def _next_look(self) -> None:
        signals = self._engine.signals()
        if signals is None or signals.ready:
            await asyncio.sleep(pause_s(LOOK_S, now_s=asyncio.get_running_loop().time()))
            return
        with suppress(TimeoutError):  # it may be given up meanwhile, and people want to see for how long it loads
            async with asyncio.timeout(LOOK_S):
                await self._engine.until_ready()

    def _seen(self, signals: Signals) -> Look:
        faults = self._station.executor.quick_faults
        new_faults, self._quick_faults = faults - self._quick_faults, faults
        interrupted, self._preemptions = signals.preemptions - self._preemptions, signals.preemptions
        return Look(
            running=signals.running,
            waiting=signals.waiting,
            kv_use=signals.kv_use or 0.0,
            preemptions=interrupted if interrupted >= 0 else signals.preemptions,  # it counts anew after a start
            quick_faults=new_faults,
        )
