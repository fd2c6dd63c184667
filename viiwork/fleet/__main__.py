"""`python -m viiwork.fleet`: the supervisor without a terminal, as `viiwork up --detach` starts it."""

from __future__ import annotations

import asyncio
import os
import sys

from viiwork.errors import ViiworkError
from viiwork.fleet.detach import as_fault
from viiwork.fleet.report import Event
from viiwork.fleet.supervisor import Supervisor
from viiwork.settings import load_settings


def main() -> int:
    """Run the fleet that the environment describes; answers the exit code."""
    try:
        asyncio.run(Supervisor(load_settings(), report=to_pipe).run())
    except ViiworkError as error:
        to_pipe(Event(kind="failed", text=str(error), fault=as_fault(error)))
        return error.exit_code
    return 0


def to_pipe(event: Event) -> None:
    """One line on standard output; once the fleet is ready nobody reads there, and the log takes over."""
    line = event.model_dump_json(exclude_defaults=True)
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
    if event.kind in ("ready", "failed"):
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())


if __name__ == "__main__":
    sys.exit(main())
