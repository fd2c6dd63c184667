"""`python -m tests.endless NAME`: a worker whose engine (`noop`) never ends a job, so that only a stop frees a slot."""

from __future__ import annotations

import asyncio
import sys

from viiwork.work import Answer, EngineWork
from viiwork_workers.__main__ import main
from viiwork_workers.engines.base import PLAIN, Manner
from viiwork_workers.engines.noop import NoopEngine


def never_end() -> None:
    """Let every job of this process run until it is stopped."""

    async def run(self: NoopEngine, work: EngineWork, manner: Manner = PLAIN) -> Answer:
        del self, work, manner
        await asyncio.Event().wait()
        raise AssertionError("an event that nobody sets was set")

    NoopEngine.run = run  # type: ignore[method-assign] # the one seam that every job of a noop worker passes


if __name__ == "__main__":
    never_end()
    sys.exit(main())
