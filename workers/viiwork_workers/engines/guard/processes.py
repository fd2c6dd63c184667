"""An engine as processes of its guard's own."""

from __future__ import annotations

import signal
from collections.abc import Mapping

from viiwork.recipes import Launch
from viiwork_workers.engines.guard.child import Address, Child, spawn
from viiwork_workers.engines.guard.course import STRUCK, Fall
from viiwork_workers.engines.guard.tree import Person, computed_s, end_all, family
from viiwork_workers.engines.simulated.child import how_it_ended

TOLD = (-signal.SIGTERM, -signal.SIGINT)


class Processes:
    """Implements `Body`."""

    def __init__(self, launch: Launch) -> None:
        self._launch = launch

    async def start(self, address: Address, *, log: int, marks: Mapping[str, str]) -> Child:
        """In a session of its own, with nothing of our environment."""
        argv = [address.fill(word) for word in self._launch.argv]
        env = {name: address.fill(value) for name, value in self._launch.env.items()}
        return spawn(argv, {**env, **marks}, log=log)

    async def pid(self, child: Child) -> int:
        return child.pid

    def people(self) -> list[Person]:
        return family()

    def computed_s(self) -> float:
        return computed_s(self.people())

    async def fall(self, returncode: int) -> Fall:
        return death(returncode)

    async def end(self, *, grace_s: float) -> None:
        await end_all(family, grace_s=grace_s)


def death(returncode: int) -> Fall:
    """By an exit code, negative for a signal."""
    why = f"the engine's process {how_it_ended(returncode)}"
    return Fall("died", why, struck=returncode in STRUCK, was_told=returncode in TOLD)
