"""`python -m tests.endless NAME`: a worker whose engine never ends a job, so that only a stop or a cancel frees a slot.

Of `noop` that is every job; a simulated card never ends those that say `ENDLESS`.
"""

from __future__ import annotations

import asyncio
import sys

from viiwork.work import Answer, ChatInput, EngineWork
from viiwork_workers.__main__ import main
from viiwork_workers.engines.base import PLAIN, Manner
from viiwork_workers.engines.noop import NoopEngine
from viiwork_workers.engines.simulated.engine import SimulatedEngine

ENDLESS = "Never end."


def never_end() -> None:
    """Let such jobs of this process run until they are stopped."""
    usual = SimulatedEngine.run

    async def run(self: NoopEngine, work: EngineWork, manner: Manner = PLAIN) -> Answer:
        del self, work, manner
        await asyncio.Event().wait()
        raise AssertionError("an event that nobody sets was set")

    async def run_some(self: SimulatedEngine, work: EngineWork, manner: Manner = PLAIN) -> Answer:
        if isinstance(work, ChatInput) and work.messages[-1].content.startswith(ENDLESS):
            await asyncio.Event().wait()
        return await usual(self, work, manner)

    NoopEngine.run = run  # type: ignore[method-assign] # the one seam that every job of a noop worker passes
    SimulatedEngine.run = run_some  # type: ignore[method-assign] # the same of a card in the worker's own process


if __name__ == "__main__":
    never_end()
    sys.exit(main())
