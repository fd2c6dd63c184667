"""Our worker with one decision taken out, to stand beside the whole one. For benchmarks only.

`python -m bench.variant_worker turns gpu8`: no hint is passed on, so free workers take turns whatever they hold.
`python -m bench.variant_worker no-reserve gpu1`: batch may take every slot.
"""

from __future__ import annotations

import os
import sys

from viiwork.settings import load_settings
from viiwork_workers import ledger, passing
from viiwork_workers.app import compose, worker_argv


def take_turns() -> None:
    """Passing on is never installed."""
    setattr(passing.Passing, "install", lambda _: None)  # noqa: B010 - a plain assignment is a type error


def keep_no_reserve() -> None:
    """Of the lanes, nothing but their own pops is left."""
    setattr(ledger, "reserve", lambda _: 0)  # noqa: B010 - a plain assignment is a type error


WITHOUT = {"turns": take_turns, "no-reserve": keep_no_reserve}


if __name__ == "__main__":
    WITHOUT[sys.argv[1]]()
    os.environ["VIIWORK_WORKER_NAME"] = sys.argv[2]
    settings = load_settings()
    compose(settings, sys.argv[2]).worker_main(worker_argv(sys.argv[2], host=settings.host))
