"""An engine that is a server of its own, which a guard keeps alive: asked over HTTP, followed by its phases."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from dataclasses import replace

from viiwork.errors import EngineDied, EngineFault, JobRefused, Unavailable
from viiwork.recipes.launch import Launch
from viiwork.work import Answer, EmbeddingInput, EngineWork, StepInput, Usage
from viiwork_workers.engines.base import PLAIN, EngineFacts, Manner, Signals, heard
from viiwork_workers.engines.guard.frames import Phase
from viiwork_workers.engines.guard.keeper import Keeper
from viiwork_workers.engines.intake import refuse_incomplete
from viiwork_workers.engines.server.busyness import Busyness
from viiwork_workers.engines.server.dialects import Tongue
from viiwork_workers.engines.server.http_session import Connections
from viiwork_workers.engines.server.openai_http import EngineTrouble, OpenAIServer
from viiwork_workers.engines.server.rendering import Work, answer_of, rendered, repaired
from viiwork_workers.engines.server.replies import Reply
from viiwork_workers.engines.server.standing import signals_of, waiting_for

log = logging.getLogger(__name__)
VERDICT_S = 3.0
"""How long the keeper may take to see that the engine has died, after a request has failed."""
MANY_TROUBLES = 3
"""After so many failed requests in a row the keeper looks at the engine at once: a broken one eats the queue."""


class Life:
    """One life of the server: from the moment it is ready until it is not."""

    def __init__(self, phase: Phase, tongue: Tongue, busyness: Busyness, connections: Connections) -> None:
        self.number = phase.life
        self.tongue = replace(tongue, alias=phase.model or tongue.alias)
        self._over = asyncio.Event()
        self.jobs_innocent = False
        """Whether it was ended for what no job can have caused."""
        self.server = OpenAIServer(phase.url, key=phase.key, heard=busyness.heard, connections=connections)

    def end(self, why: str) -> None:
        """Whatever is in flight in it fails, at once."""
        self._over.set()
        self.server.close(why)

    async def ends_soon(self, within_s: float) -> bool:
        """Whether it is over, or will be within the time that its keeper takes to see it.

        Who is cancelled meanwhile is told what is known by then: that the engine failed the job is so already.
        """
        with suppress(TimeoutError, asyncio.CancelledError):
            async with asyncio.timeout(within_s):
                await self._over.wait()
        return self._over.is_set()


class ServerEngine:
    """Answers jobs while its server is ready, and takes nothing while it is not."""

    def __init__(self, facts: EngineFacts, launch: Launch, keeper: Keeper, *, verdict_s: float = VERDICT_S) -> None:
        self.facts = facts
        self._verdict_s = verdict_s
        self._tongue = Tongue(launch.dialect, launch.alias, priority=launch.priority)
        uncounted = launch.metrics is None or not launch.metrics.output_tokens
        self._always_stream = uncounted or launch.dialect == "llama.cpp"
        """Without a count of its tokens, what it streams is all that tells an engine at work from one that hangs. And
        where it does not stream, llama-server never sees that nobody waits any more (b11434: 20 s, against 0.08 s).
        """
        self._keeper = keeper
        self._busyness = Busyness(keeper)
        self._connections = Connections()
        self._life: Life | None = None
        self._ready = asyncio.Event()
        self._follower: asyncio.Task[None] | None = None
        self._since_s = 0.0
        self._absence = ""
        """Why the server does not answer, as it was told last."""
        self._troubles = 0
        """Failed requests since one succeeded."""

    async def load(self) -> None:
        """Have the server kept. Returns long before its model is loaded. Raises EngineFault."""
        await self._keeper.open()
        self._note(self._keeper.phase)
        self._follower = asyncio.create_task(self._follow(self._keeper.phase), name="engine phases")

    async def run(self, work: EngineWork, manner: Manner = PLAIN) -> Answer:
        """Answer one job.

        Raises Unavailable while the server is not ready: the job never reached it; and Busy when it takes no more.
        """
        refuse_incomplete(work)
        if self._follower is None:
            raise EngineFault("the engine is not running.", hint="Wait for the worker to be ready.")
        if self._life is None:
            raise Unavailable(waiting_for(self._keeper.phase), code="engine_restarting")
        with self._busyness.one_more():
            answer = await self._answer(work, manner, self._life)
        return heard(answer, manner) if isinstance(work, StepInput) else answer

    def signals(self) -> Signals:
        """Whether it is ready, and how loaded it says that it is."""
        here_s = asyncio.get_running_loop().time() - self._since_s if self._follower is not None else 0.0
        ready, in_flight = self._life is not None, self._busyness.running
        return signals_of(self._keeper.phase, self._keeper.load, ready=ready, here_s=here_s, in_flight=in_flight)

    async def until_ready(self) -> None:
        """Wait for the next life."""
        await self._ready.wait()

    def again(self) -> None:
        """Have it started once more although it was given up."""
        self._keeper.again()

    async def close(self) -> None:
        """End the server; what is in flight in it ends with EngineFault."""
        follower, self._follower = self._follower, None
        if follower is not None:
            follower.cancel()
            with suppress(asyncio.CancelledError):
                await follower
        self._end_life("the worker is leaving")
        self._busyness.close()
        await self._connections.close()
        await self._keeper.close()

    async def _answer(self, work: EngineWork, manner: Manner, life: Life) -> Answer:
        """The answer; for an extraction that came out wrong, that of one more try, which is told what was wrong."""
        reply = await self._reply(work, rendered(work), manner, life)
        try:
            return await answer_of(work, reply, self.facts)
        except JobRefused as missed:
            again = repaired(work, missed)
            if again is None:
                charge(missed, reply.usage)
                raise
        second = await self._reply(work, again, manner, life)
        usage = reply.usage + second.usage
        try:
            answer = await answer_of(work, second, self.facts)
        except JobRefused as missed:
            charge(missed, usage)
            raise
        return answer.model_copy(update={"usage": usage})

    async def _reply(self, work: EngineWork, asked: Work, manner: Manner, life: Life) -> Reply:
        # a step's text is parsed first, so that who listens hears the answer and not the model's own words
        listener = None if isinstance(work, StepInput) else manner.on_text
        load = self._keeper.load
        streams = self._always_stream or listener is not None or (load is not None and load.uncounted)
        ask = life.tongue.ask(asked, lane=manner.lane, stream=streams and not isinstance(asked, EmbeddingInput))
        try:
            reply = await life.server.answer(ask, on_text=listener)
        except EngineTrouble as trouble:
            self._note_trouble()
            raise await self._verdict(life, trouble) from trouble
        self._troubles = 0
        return reply

    def _note_trouble(self) -> None:
        self._troubles += 1
        if self._troubles >= MANY_TROUBLES:
            self._troubles = 0
            self._keeper.doubt()

    async def _verdict(self, life: Life, trouble: EngineTrouble) -> EngineFault | Unavailable:
        """A dead engine makes a suspect of every job that it had; one that lives has failed this job alone."""
        failed_s = asyncio.get_running_loop().time()
        died = await life.ends_soon(0.0 if trouble.answered else self._verdict_s)
        fault = EngineFault(f"{trouble}.", hint="The job is tried again.")
        if self._follower is None:
            fault = EngineFault("the engine was switched off.", hint="The job is tried again on another worker.")
        elif died and life.jobs_innocent:
            return Unavailable("the engine was ended: its text made no sense.", code="engine_restarting")
        elif died:
            fault = EngineDied("the engine died with the job in it.", hint="The job is tried again, alone.")
        fault.failed_s = failed_s
        return fault

    async def _follow(self, phase: Phase) -> None:
        while True:
            phase = await self._keeper.changed(phase)
            self._note(phase)

    def _note(self, phase: Phase) -> None:
        self._since_s = asyncio.get_running_loop().time()
        self._tell_of_absence(phase)
        if self._life is not None and (phase.stage != "ready" or phase.life != self._life.number):
            self._life.jobs_innocent = phase.fault_of == "engine"
            self._end_life("it is over")
        if phase.stage == "ready" and self._life is None:
            self._life = Life(phase, self._tongue, self._busyness, self._connections)
            self._ready.set()

    def _tell_of_absence(self, phase: Phase) -> None:
        """Once when a server that somebody else runs goes, or serves other models, and once it is back: nobody here has
        a log of its own."""
        if (phase.away or phase.unserved) and phase.why != self._absence:
            self._absence = phase.why
            log.warning("%s. %s It is looked for again and again.", phase.why, phase.advice)
        elif phase.stage == "ready" and self._absence:
            self._absence = ""
            log.info("the server answers now, and serves the model")

    def _end_life(self, why: str) -> None:
        life, self._life = self._life, None
        self._ready.clear()
        if life is not None:
            life.end(why)


def charge(refused: JobRefused, usage: Usage) -> None:
    """Note what an answer took that could not be used."""
    refused.prompt_tokens, refused.output_tokens = usage.prompt_tokens, usage.output_tokens
