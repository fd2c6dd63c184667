"""An engine's processes: who they are, how much they compute, and how all of them are ended, gently at first."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Iterable
from contextlib import suppress

import psutil

from viiwork.processes import identity, is_alive, send

Person = tuple[int, str]
"""A process id, and what no later process of that number has."""
POLL_S = 0.05
KILL_S = 5.0
"""For so long a killed process may take to vanish; one that hangs in a driver does not vanish at all."""


def family() -> list[Person]:
    """All descendants of this process that run. It is their subreaper: none can leave by losing its parent."""
    with suppress(psutil.Error):
        return _identified(child.pid for child in psutil.Process(os.getpid()).children(recursive=True))
    return []


def computed_s(people: Iterable[Person]) -> float:
    """Processor time that these have taken so far, their own dead children's included."""
    total_s = 0.0
    for pid, _ in people:
        with suppress(psutil.Error):
            total_s += sum(psutil.Process(pid).cpu_times()[:4])
    return total_s


def _identified(pids: Iterable[int]) -> list[Person]:
    return [(pid, who) for pid in pids if (who := identity(pid)) is not None]


async def end_all(find: Callable[[], list[Person]], *, grace_s: float) -> list[Person]:
    """SIGTERM to all that `find` finds, also to those that come later; SIGKILL after the grace. Answers who is left."""
    told: set[Person] = set()

    def ask() -> bool:
        present = find()
        for person in present:
            if person not in told:
                send(*person, signal.SIGTERM)
                send(*person, signal.SIGCONT)  # a stopped process acts on nothing until it goes on
                told.add(person)
        return not present

    def kill() -> bool:
        present = find()
        for person in present:
            send(*person, signal.SIGKILL)
        return not present

    if await _within(ask, grace_s) or await _within(kill, KILL_S):
        return []
    return [person for person in find() if is_alive(*person)]


async def _within(done: Callable[[], bool], limit_s: float) -> bool:
    loop = asyncio.get_running_loop()
    deadline = loop.time() + limit_s
    while not done():
        if loop.time() >= deadline:
            return False
        await asyncio.sleep(POLL_S)
    return True
