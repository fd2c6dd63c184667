"""The seam between an engine that is a server and whoever keeps that server alive."""

from __future__ import annotations

from typing import Protocol

from viiwork_workers.engines.guard.frames import Load, Phase


class Keeper(Protocol):
    """Keeps one server running, and says where it stands. One event loop."""

    @property
    def phase(self) -> Phase:
        """Where it stands now."""

    @property
    def load(self) -> Load | None:
        """What its metrics said last; None when it has none."""

    async def open(self) -> None:
        """Find or start the guard; returns once it answers, long before the model is loaded. Raises EngineFault."""

    async def changed(self, than: Phase) -> Phase:
        """Wait until the phase is another one than `than`; answers it."""

    def busy(self, *, running: int, received_bytes: int) -> None:
        """Tell what the worker has in the engine; cheap, said on at most once a second."""

    def doubt(self) -> None:
        """Several requests in a row have failed: have the server looked at now, and started again if it is broken."""

    def again(self) -> None:
        """A person has looked: try once more although it was given up."""

    async def close(self, *, keep: bool = False) -> None:
        """End the server gently and its guard with it; with `keep`, leave them to the next life of this worker."""
