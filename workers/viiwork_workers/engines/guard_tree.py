"""Ending every process of an engine, gently at first; and waiting until its card's memory is free again."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import psutil

from viiwork.processes import identity, is_alive, send

Person = tuple[int, str]
"""A process id, and what no later process of that number has."""
POLL_S = 0.05
KILL_S = 5.0
"""For so long a killed process may take to vanish; one that hangs in a driver does not vanish at all."""
VRAM_LIMIT_S = 30.0
VRAM_STILL_S = 2.0
VRAM_LEFT = 0.05


def family() -> list[Person]:
    """All descendants of this process that run. It is their subreaper: none can leave by losing its parent."""
    with suppress(psutil.Error):
        return _identified(child.pid for child in psutil.Process(os.getpid()).children(recursive=True))
    return []


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


@dataclass(frozen=True, slots=True)
class Freeing:
    """How a card's memory comes back after the end of its engine. Pure."""

    before_bytes: int
    lowest_bytes: int
    fell_s: float

    def after(self, used_bytes: int, *, now_s: float) -> Freeing:
        """The record after one more look."""
        if used_bytes < self.lowest_bytes:
            return replace(self, lowest_bytes=used_bytes, fell_s=now_s)
        return self

    def over(self, now_s: float) -> bool:
        """Whether it is back, or falls no more."""
        return self.lowest_bytes <= self.before_bytes * VRAM_LEFT or now_s - self.fell_s >= VRAM_STILL_S


def vram_used(file: str) -> int | None:
    """What the card says is in use; None when it says nothing, as it does during a reset."""
    if file:
        with suppress(OSError, ValueError):
            return int(Path(file).read_text(encoding="ascii"))
    return None


async def vram_back(file: str, *, before_bytes: int | None) -> None:
    """Wait until the card's memory is free again, half a minute at most."""
    if before_bytes is None:
        return
    loop = asyncio.get_running_loop()
    begin_s = loop.time()
    freeing = Freeing(before_bytes, before_bytes, begin_s)
    while not freeing.over(loop.time()) and loop.time() - begin_s < VRAM_LIMIT_S:
        await asyncio.sleep(5 * POLL_S)
        used_bytes = vram_used(file)
        if used_bytes is not None:
            freeing = freeing.after(used_bytes, now_s=loop.time())
