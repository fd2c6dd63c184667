"""The seam between an engine's life and what it runs in: processes of the guard's own, or a container."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from viiwork_workers.engines.guard.child import Address, Child
from viiwork_workers.engines.guard.course import Fall
from viiwork_workers.engines.guard.tree import Person


class Body(Protocol):
    """One engine's, for all its lives. None of its methods raises but as it says."""

    async def start(self, address: Address, *, log: int, marks: Mapping[str, str]) -> Child:
        """Start it; what it says goes to the handle `log`. Raises OSError and ValueError."""

    async def pid(self, child: Child) -> int:
        """Wait until it is there; the process that people are told of."""

    def people(self) -> list[Person]:
        """Its processes that this host shows."""

    def computed_s(self) -> float | None:
        """Processor time that they have taken so far; None where it is not to be seen."""

    async def fall(self, returncode: int) -> Fall:
        """What its end means, by the exit code of what was started."""

    async def end(self, *, grace_s: float) -> None:
        """All of it, gently at first."""
