"""`python -m tests.chaos.doomed NAME` runs a worker that kills itself (SIGKILL) at a named step of a job.

CHAOS_STEP says where, as `claim:before`, `claim:after`, `commit:before` or `commit:after` (the call to Redis, and
whether it is sent and answered first); CHAOS_COUNT says at the how-manieth such call (default 20); CHAOS_JOB
has only calls counted that are for jobs whose ids end with it.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

from viiwork.store.scripts import Call
from viiwork_workers.__main__ import main
from viiwork_workers.tick import Tick

STEP, COUNT, JOB = "CHAOS_STEP", "CHAOS_COUNT", "CHAOS_JOB"


def doom(step: str, count: int, job: str = "") -> None:
    """Let this process die at the `count`-th time it reaches `step`."""
    script, _, when = step.partition(":")
    seen = 0
    reach = Tick.call

    async def call(self: Tick, call: Call, *, release: str = "") -> Any:
        nonlocal seen
        met = call.script == script and str(call.args[0]).endswith(job)
        seen += met
        last = met and seen == count
        if last and when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        reply = await reach(self, call, release=release)
        if last:
            os.kill(os.getpid(), signal.SIGKILL)
        return reply

    Tick.call = call  # type: ignore[method-assign] # the one seam that every claim and commit of a worker passes


if __name__ == "__main__":
    doom(os.environ[STEP], int(os.environ.get(COUNT, "20")), os.environ.get(JOB, ""))
    sys.exit(main())
