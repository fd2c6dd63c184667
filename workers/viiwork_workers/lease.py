"""Beats and upkeep, on a thread and a loop of their own: a busy engine must not look like a dead worker."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass

from viiwork.errors import StoreUnavailable
from viiwork.jobs import Lane
from viiwork.queues import queue_name
from viiwork.settings import QueueSection
from viiwork.store import Store
from viiwork.store.collector import Collector
from viiwork.store.upkeep import Upkeep
from viiwork_workers.drops import hear_drops
from viiwork_workers.loopthread import LoopThread
from viiwork_workers.station import Station

log = logging.getLogger(__name__)

CLOCK_JUMP_S = 2.0
AT_REST = 2
"""Times as long between beats of a worker at rest: they are a third of what it costs then (measured)."""
MISSABLE = 4
"""Beats in a lease, at least: one that is late or lost must not make anybody look dead."""
GAP = 0.5
"""Of a lease: a longer one between two answers is a break. The others' last beats were up to a quarter old before it,
and grew as old as a lease in one of three quarters."""


@dataclass(slots=True)
class Contact:
    """How long Redis has answered without a gap and without its clock jumping. Nobody is reaped on less than a lease.

    Redis away for longer than a lease must not make every worker look dead to the first one that is back; nor must a
    machine, or a whole fleet in containers, that was frozen for a while: the others thaw as this one does.
    """

    needed_s: float
    _since: float | None = None
    _last: tuple[float, float] | None = None

    def lost(self) -> None:
        self._since = self._last = None

    def seen(self, *, here_s: float, server_s: float) -> None:
        """Redis answered: its clock and ours (monotonic) at that moment."""
        if self._last is not None:
            if here_s - self._last[0] > GAP * self.needed_s:
                self._since = None
            drift_s = (server_s - self._last[1]) - (here_s - self._last[0])
            if abs(drift_s) > CLOCK_JUMP_S:
                log.warning("Redis' clock jumped by %.1f s: nobody is reaped for one lease", drift_s)
                self._since = None
        if self._since is None:
            self._since = here_s
        self._last = (here_s, server_s)

    def long_enough(self, *, here_s: float) -> bool:
        return self._since is not None and here_s - self._since >= self.needed_s


class Beats:
    """Says that this worker lives, drops what is no longer its own, and keeps the fleet tidy."""

    def __init__(
        self, station: Station, settings: QueueSection, open_store: Callable[[], Store], *, joined: bool = False
    ) -> None:
        self._station = station
        self._joined = joined
        self._settings = settings
        self._open_store = open_store
        self._queues = {lane: queue_name(lane, station.card.model) for lane in Lane}
        self._contact = Contact(needed_s=settings.lease_ttl_s)
        self._thread = LoopThread("viiwork-beats")
        self._stop = asyncio.Event()
        self._running = self._thread.submit(self._run())
        self._running.add_done_callback(_die_without_beats)

    def close(self) -> None:
        """The last beat: leave the roster, so that nobody waits for this worker."""
        self._thread.loop.call_soon_threadsafe(self._stop.set)
        self._running.result(timeout=15)
        self._thread.close()

    async def _run(self) -> None:
        store = self._open_store()
        upkeep = Upkeep(
            store,
            lease_ttl_s=self._settings.lease_ttl_s,
            hint_grace_s=self._settings.hint_grace_s,
        )
        card, station = self._station.card, self._station
        await asyncio.gather(
            self._beat_on(upkeep),
            hear_drops(store, card.incarnation, station.abort, stop=self._stop, pause_s=self._settings.beat_s),
            *(() if self._joined else (Collector(store).tend(self._stop, owner=card.incarnation),)),
        )
        await self._leave(upkeep)
        await store.close()

    async def _beat_on(self, upkeep: Upkeep) -> None:
        """Until the worker stops. The right to upkeep is asked for with a beat, in one trip; but upkeep takes its time:
        sweeping a million cancelled jobs must not delay a beat past the lease.
        """
        keeping: asyncio.Task[None] | None = None
        while not self._stop.is_set():
            if keeping is not None and keeping.done():
                await keeping  # raises the defect that ended it, if there was one
                keeping = None
            if await self._turn(upkeep, asks=keeping is None):
                keeping = asyncio.create_task(self._keep(upkeep))
            with suppress(TimeoutError):  # not `wait_for`, which makes a task each time
                async with asyncio.timeout(pause_s(self._settings, at_rest=self._station.at_rest)):
                    await self._stop.wait()
        if keeping is not None:
            await keeping

    async def _turn(self, upkeep: Upkeep, *, asks: bool) -> bool:
        """Whether this worker may do the fleet's upkeep now, if it `asks`."""
        try:
            await self.beat(upkeep, keep_ms=int(self._settings.beat_s * 900) if asks else 0)
            if self._joined:  # the head's own workers are ended with it, and still merge meanwhile
                self._station.note_closed(await upkeep.closing())
            self._contact.seen(here_s=time.monotonic(), server_s=upkeep.beat_ms / 1000)
        except StoreUnavailable as error:
            self._contact.lost()
            log.warning("a beat was missed: %s", error)
            return False
        return upkeep.granted

    async def _keep(self, upkeep: Upkeep) -> None:
        try:
            await self._keep_up(upkeep)
        except (StoreUnavailable, OSError) as error:
            log.warning("upkeep waits for the next turn: %s", error)

    async def beat(self, upkeep: Upkeep, *, keep_ms: int = 0) -> None:
        """One beat; jobs that are no longer ours are stopped."""
        station = self._station
        held = station.executor.hands.fences()
        queues, in_flight = list(self._queues.values()), station.ledger.counts()
        card = station.card_now()
        unclaimed = station.executor.meter.unclaimed
        lost = await upkeep.beat(
            card, queues=queues, in_flight=in_flight, held=held, keep_ms=keep_ms, unclaimed=unclaimed
        )
        station.note_quarantine(upkeep.quarantined)
        station.note_hold(upkeep.at_most)
        station.note_backlog({lane.value: upkeep.backlog[queue] for lane, queue in self._queues.items()})
        for job, state in lost.items():
            station.abort(job, state)

    async def _keep_up(self, upkeep: Upkeep) -> None:
        if looked_ms := await may_reap(self._contact, upkeep):
            reaped = await upkeep.reap(at_ms=looked_ms)
            if reaped:
                log.warning("took %d jobs back from a worker that went silent", reaped)
        await upkeep.mend()
        await upkeep.sweep()

    async def _leave(self, upkeep: Upkeep) -> None:
        try:
            await self.beat(upkeep)  # with the last that its cards used
            await upkeep.reap(self._station.card.incarnation, crashed=False)
        except StoreUnavailable as error:
            log.warning("could not leave the roster: %s", error)


def pause_s(settings: QueueSection, *, at_rest: bool) -> float:
    """From one beat to the next. Pure."""
    if not at_rest:
        return settings.beat_s
    return max(settings.beat_s, min(AT_REST * settings.beat_s, settings.lease_ttl_s / MISSABLE))


async def may_reap(contact: Contact, upkeep: Upkeep) -> int:
    """The moment of Redis' clock by which others may be called dead; 0 when nobody may.

    The clock is asked once more: it may have jumped since the last beat.

    A worker that has just started goes by what the others have seen: where all are replaced one by one, none of them
    would know Redis for a lease (the dead ones' jobs waited 31 s then, measured).
    """
    looked_ms = await upkeep.server_ms()
    contact.seen(here_s=time.monotonic(), server_s=looked_ms / 1000)
    of_fleet_s = await upkeep.unbroken_ms() / 1000
    may = contact.long_enough(here_s=time.monotonic()) or of_fleet_s >= contact.needed_s
    return looked_ms if may else 0


def _die_without_beats(running: Future[None]) -> None:
    """A worker that cannot beat looks dead to the fleet, so it must not go on taking jobs."""
    error = None if running.cancelled() else running.exception()
    if error is not None:
        log.critical("the beats met a defect (%s): this worker stops", type(error).__name__)
        os.kill(os.getpid(), signal.SIGTERM)
