"""An engine in a process of its own, so that what kills it leaves the worker alive; it is started again."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress

from viiwork.errors import EngineFault, Unavailable
from viiwork.work import Answer, EngineWork
from viiwork_workers.engines.base import PLAIN, EngineFacts, Manner, Signals, heard
from viiwork_workers.engines.deaths import Deaths
from viiwork_workers.engines.intake import plain, refuse_incomplete
from viiwork_workers.engines.simulated.child import EngineChild, how_it_ended
from viiwork_workers.engines.simulated.frames import Begin

log = logging.getLogger(__name__)


class HostedEngine:
    """Keeps one engine process running; between two lives it takes nothing."""

    def __init__(self, facts: EngineFacts, begin: Begin) -> None:
        self.facts = facts
        self._begin = begin
        self._child: EngineChild | None = None
        self._ready = asyncio.Event()
        self._deaths = Deaths()
        self._starts = 0
        self._keeper: asyncio.Task[None] | None = None

    async def load(self) -> None:
        """Start the process for the first time. Raises EngineFault when it does not come up."""
        await self._start()
        self._keeper = asyncio.create_task(self._keep(), name="engine keeper")

    async def run(self, work: EngineWork, manner: Manner = PLAIN) -> Answer:
        """Answer one job. Raises Unavailable between two lives: the job never reached an engine."""
        work = plain(work, self.facts)
        refuse_incomplete(work)
        if self._keeper is None:
            raise EngineFault("the engine is not running.", hint="Wait for the worker to be ready.")
        if self._child is None or not self._child.alive:
            raise Unavailable("the engine is being started again.", code="engine_restarting")
        return heard(await self._child.run(work), manner)

    def signals(self) -> Signals:
        """Whether it runs, and what it said of its load last."""
        restarts = max(0, self._starts - 1)
        if self._child is None or not self._child.alive:
            return Signals(ready=False, state=self._deaths.state, restarts=restarts)
        load = self._child.load
        if load is None:
            return Signals(state="ready", restarts=restarts, pid=self._child.pid)
        return Signals(
            running=load.running,
            waiting=load.waiting,
            kv_use=load.kv_use,
            preemptions=load.preemptions,
            output_tokens=load.output_tokens,
            state="ready",
            restarts=restarts,
            pid=self._child.pid,
        )

    async def until_ready(self) -> None:
        """Wait for the next life."""
        await self._ready.wait()

    def again(self) -> None:
        """It is never given up."""

    async def close(self) -> None:
        """End the process and start it no more."""
        keeper, self._keeper = self._keeper, None
        self._ready.clear()
        if keeper is not None:
            keeper.cancel()
            with suppress(asyncio.CancelledError):
                await keeper
        if self._child is not None:
            await self._child.close()

    async def _start(self) -> None:
        self._child = await EngineChild.start(self._begin, fell=self._ready.clear)
        self._starts += 1
        self._ready.set()

    async def _keep(self) -> None:
        """Start it again after each death, at a growing pace, for ever: jobs wait for what once worked."""
        clock = asyncio.get_running_loop().time
        while self._child is not None:
            begun_s = clock()
            code = await self._child.ended()
            self._ready.clear()  # it may have died in the moment in which it became ready
            self._deaths = self._deaths.after(served_s=clock() - begun_s)
            log.error("the engine's process %s; it is started again", how_it_ended(code))
            while not self._ready.is_set():
                await asyncio.sleep(self._deaths.pause_s)
                await self._try_again()

    async def _try_again(self) -> None:
        try:
            await self._start()
            log.warning("the engine runs again as process %d", self._child.pid if self._child else 0)
        except EngineFault as fault:
            self._deaths = self._deaths.after(served_s=0.0)
            log.error("%s", fault)  # noqa: TRY400 - one line, no trace
