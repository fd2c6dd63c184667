"""Looks once a second at the engine, its cards and the host's orders, and sets how many jobs the worker may hold.

L = the least of what the engine, the heat of its cards and the host's watts leave; 0 while the engine does not run.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from contextlib import suppress

from viiwork.jobs import Lane
from viiwork.power.heat import Heat, heats_of, of_all
from viiwork_workers.engines.base import Engine, Signals
from viiwork_workers.engines.unison import pause_s
from viiwork_workers.failed_engine import FailedEngine
from viiwork_workers.limit import Limit, Look
from viiwork_workers.orders import Orders, free
from viiwork_workers.restraint import Restraint, restraint
from viiwork_workers.station import Station

log = logging.getLogger(__name__)
LOOK_S = 1.0
SCHEDULE = "schedule"


class Governor:
    """Runs on the engine's loop."""

    def __init__(self, engine: Engine, station: Station, *, orders: Orders = free) -> None:
        self._engine = engine
        self._station = station
        self._orders = orders
        self._heats: Mapping[str, Heat] = {}
        self._restraint = restraint(station.card.slots)
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
        """Learn from what engine, cards and host say, set the limit, and give back what is beyond heat and watts."""
        self._restraint = self._restrained()
        signals = self._engine.signals()
        if signals is not None and signals.ready:
            self._limit = self._limit.after(self._seen(signals))
        self.heed()
        if beyond := self._station.executor.hands.keep(self._restraint.keeps):
            log.warning("%d jobs go back uncharged: %s", beyond, self._restraint.why)

    def heed(self) -> None:
        """Set the limit as it is: at once when the engine is found to be gone, so that nothing more is taken."""
        signals = self._engine.signals()
        ready = signals is None or signals.ready
        limit = min(self._limit.value, self._restraint.takes) if ready else 0
        self._station.note_engine(signals, limit=limit)
        self._station.executor.admit(ready=ready)

    def _restrained(self) -> Restraint:
        """By the hottest of its cards, and what the host's power room says."""
        readings = ((card.id, reading) for card, reading in self._station.readings())
        self._heats = heats_of(readings, before=self._heats)
        standing = self._orders()
        found = restraint(self._station.card.slots, heat=of_all(self._heats.values()), standing=standing)
        self._station.note_throttle(found.why)
        closed = frozenset(Lane) - standing.lanes
        if closed != self._station.closed_lanes(by=SCHEDULE):
            self._station.close_lanes(closed, by=SCHEDULE)
        self._station.note_host(standing.power, opens=standing.opens)
        return found

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
