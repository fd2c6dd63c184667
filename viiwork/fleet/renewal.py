"""SIGHUP: the API's processes are followed by new ones, one after the other, and no request is lost."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

from viiwork.fleet.crew import Crew
from viiwork.fleet.plan import Role

PATIENCE_S = 60.0
"""How long a new process may take until it answers."""


class Renewal:
    """One at a time; who asks meanwhile has it."""

    def __init__(self, crew: Crew, *, tell: Callable[[str], None], patience_s: float = PATIENCE_S) -> None:
        self._crew, self._tell, self._patience_s = crew, tell, patience_s
        self._task: asyncio.Task[None] | None = None

    def ask(self) -> None:
        """Begin; returns at once."""
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._renew(), name="renewing the API")

    async def close(self) -> None:
        """The fleet stops."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def _renew(self) -> None:
        for child in [child for child in self._crew.children if child.spec.role is Role.API]:
            if not await self._crew.renew(child.spec.name, within_s=self._patience_s):
                self._tell(f"{child.spec.name} stays as it is: no new process of it came up (see {child.log})")
                return
            self._tell(f"{child.spec.name} is followed by a new process and finishes what it has in hand")
