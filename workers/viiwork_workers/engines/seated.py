"""An engine whose card is watched: it is over when the card falls off the bus, and a new one begins once it is back."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

from viiwork.devices import State
from viiwork.errors import EngineDied, Unavailable, ViiworkError
from viiwork.power.heat import heat_of
from viiwork.roster import AWAITS_CARD, AWAITS_TURN, NO_WATTS
from viiwork.work import Answer, EngineWork
from viiwork_workers.engines.base import PLAIN, Engine, Manner, Signals
from viiwork_workers.engines.deaths import Deaths
from viiwork_workers.engines.guard.aside import Aside
from viiwork_workers.engines.seat import Readings, Seat
from viiwork_workers.engines.unison import pause_s
from viiwork_workers.orders import Orders, free

log = logging.getLogger(__name__)
LOOK_S = 1.0
RESTING = 4
"""An engine with nothing in it, on a cool card, is looked at so many times less often: to look is three wakings of an
idle worker, a third of all that it cost (measured). The first job ends that."""
LOADING = "loading"
VramBytes = Callable[[float], int]
"""What an engine holds of its card's memory when so much of its cache of keys and values is full, 0 to 1."""


def no_vram(kv_use: float) -> int:  # noqa: ARG001 - as the type says
    """Of an engine that uses none, or whose card tells itself."""
    return 0


class SeatedEngine:
    """One engine after the other on one card, made anew each time. While the card is away it takes nothing.

    It begins when the host's power room lets it: when there are watts for it, its caps hold and it is its turn.

    What was in an engine whose card went comes back as from one that died: a job may have been the cause.
    """

    def __init__(
        self,
        make: Callable[[], Engine],
        seat: Seat,
        *,
        vram_bytes: VramBytes = no_vram,
        orders: Orders = free,
        look_s: float = LOOK_S,
    ) -> None:
        self._make = make
        self._engine = make()  # for what it tells of itself; it is never started
        self.facts = self._engine.facts
        self.seat = seat
        self._vram_bytes = vram_bytes
        self._orders = orders
        self._begins = False
        self._look_s = look_s
        self._aside: Aside[tuple[State, float]] = Aside()
        self._state: State = "ok"
        self._runs = False
        self._ready = asyncio.Event()
        self._inside: set[asyncio.Timeout] = set()
        """A handle on each job that is in the engine."""
        self._stirred = asyncio.Event()
        self._deaths = Deaths()
        self._ended = 0
        """Starts of the engines that are over."""
        self._watching: asyncio.Task[None] | None = None
        self.on_look: Callable[[Readings, float], None] = _nothing
        """Called on the engine's loop with each look at the cards, and when that was on the monotonic clock."""

    async def load(self) -> None:
        """Begin if the card is there; else wait for it beside. Raises EngineFault when the engine does not come up."""
        self._state = await self._looked()
        if self._state != "ok":
            log.error("the card is %s: waiting for it", self._state)
        elif self._orders().may_load:
            await self._begin()
        else:
            log.warning("the engine is %s", self._why())
        self._watching = asyncio.create_task(self._watch(), name="card watch")

    async def run(self, work: EngineWork, manner: Manner = PLAIN) -> Answer:
        """Answer one job. Raises Unavailable while the card is away, EngineDied when it goes with the job on it."""
        if not self._runs:
            raise Unavailable(f"the engine is {self._why()}.", code="engine_restarting")
        try:
            async with asyncio.timeout(None) as until_lost:
                self._inside.add(until_lost)
                self._stirred.set()
                return await self._engine.run(work, manner)
        except TimeoutError as error:
            if not until_lost.expired():
                raise
            raise EngineDied("its card was lost with the job on it.", hint="The job is tried again, alone.") from error
        finally:
            self._inside.discard(until_lost)

    def signals(self) -> Signals | None:
        """As its engine says, while there is one."""
        if not self._runs:
            return Signals(ready=False, state=self._why(), restarts=max(0, self._ended - 1))
        said = self._engine.signals()
        return said and replace(said, restarts=said.restarts + self._ended)

    async def until_ready(self) -> None:
        """Wait for the card, then for the engine."""
        await self._ready.wait()
        await self._engine.until_ready()

    def again(self) -> None:
        """Have its engine try once more."""
        self._engine.again()

    async def close(self) -> None:
        """Look at the card no more, and end the engine."""
        watching, self._watching = self._watching, None
        if watching is not None:
            watching.cancel()
            with suppress(asyncio.CancelledError):
                await watching
        self._runs = False
        self._ready.clear()
        await self._engine.close()

    def _why(self) -> str:
        """For people: why there is no engine."""
        if self._state != "ok":
            return f"{AWAITS_CARD}, which is {self._state}"
        standing = self._orders()
        if not self._begins and not standing.may_load:
            return AWAITS_TURN if standing.may_run else f"{NO_WATTS}: {standing.why}"
        return self._deaths.state if self._deaths.total or self._ended else LOADING

    async def _watch(self) -> None:
        while True:
            await self._next_look()
            state = await self._looked()
            if state != self._state:
                log.warning("the card is %s", state)
            self._state = state
            if self._runs and state != "ok":
                await self._lose()
            elif not self._runs and state == "ok" and self._orders().may_load:
                await self._try_again()

    async def _next_look(self) -> None:
        """About a second; longer while it rests, and then a second from the first job on."""
        clock = asyncio.get_running_loop().time
        if self._rests:
            self._stirred.clear()
            rest_s = pause_s(self._look_s, now_s=clock()) + (RESTING - 1) * self._look_s
            with suppress(TimeoutError):
                async with asyncio.timeout(rest_s):
                    await self._stirred.wait()
            if not self._stirred.is_set():
                return
        await asyncio.sleep(pause_s(self._look_s, now_s=clock()))

    @property
    def _rests(self) -> bool:
        """Whether nothing is in it, and nothing is the matter with its cards."""
        cool = all(heat_of(reading).level == "cool" for _, reading in self.seat.readings())
        return self._runs and self._state == "ok" and not self._inside and cool

    async def _looked(self) -> State:
        """How the card is; as before where that takes too long to tell."""
        busy = len(self._inside) / self.facts.slots
        signals = self._engine.signals() if self._runs else None
        vram = self._vram_bytes(0.0 if signals is None else signals.kv_use or 0.0)
        runs = self._runs

        def look() -> tuple[State, float]:
            if runs:
                self.seat.tell(busy, vram_used_bytes=vram)
            at_s = time.monotonic()
            return self.seat.look(), at_s

        looked = await self._aside.do(look)
        if looked is None:
            return self._state
        state, at_s = looked
        self.on_look(self.seat.readings(), at_s)
        return state

    async def _begin(self) -> None:
        """With a new engine: what it is started with may be another by now."""
        self._engine, self._begins = self._make(), True
        try:
            await self._engine.load()
        finally:
            self._begins = False
        self._runs = True
        self._ready.set()

    async def _try_again(self) -> None:
        try:
            await self._begin()
            log.warning("the engine runs on its card")
        except (ViiworkError, OSError) as error:
            self._deaths = self._deaths.after(served_s=0.0)
            log.error("the engine does not start on its card: %s", error)  # noqa: TRY400 - one line
            await self._end()
            await asyncio.sleep(self._deaths.pause_s)

    async def _lose(self) -> None:
        """The engine is over, and so is what is in it."""
        log.error("the card is %s: its engine is ended, with %d jobs in it", self._state, len(self._inside))
        said = self._engine.signals()
        self._ended += 1 + (said.restarts if said is not None else 0)
        self._runs = False
        self._ready.clear()
        inside, self._inside = self._inside, set()
        now_s = asyncio.get_running_loop().time()
        for job in inside:
            job.reschedule(now_s)
        await asyncio.sleep(0)  # they are told before the engine is, which would call it a fault of its own
        await self._end()

    async def _end(self) -> None:
        """A lost card may keep its engine from ending; its guard sees to the rest."""
        try:
            async with asyncio.timeout(self.facts.end_s):
                await self._engine.close()
        except (TimeoutError, ViiworkError, OSError) as error:
            log.warning("the engine of the lost card has not ended: %s", type(error).__name__)


def _nothing(readings: Readings, at_s: float) -> None:
    """Nobody measures."""
