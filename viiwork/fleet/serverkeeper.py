"""Keeps the embedded server alive beside the processes that use it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from viiwork.errors import StartupError
from viiwork.fleet.report import ProcessReport
from viiwork.fleet.restarts import Restarts
from viiwork.settings import Settings
from viiwork.statedir import ServerRecord, StateDir
from viiwork.store import embedded
from viiwork.store.endpoint import safe_address


class ServerKeeper:
    """Starts or adopts the server, and starts it again, at the same address, when it dies."""

    def __init__(self, settings: Settings, *, tell: Callable[[str], None]) -> None:
        self._settings = settings
        self._tell = tell
        self._server: embedded.RunningServer | None = None
        self._restarts = Restarts()
        self._since_s = 0.0
        self._not_before_s = 0.0

    @property
    def adopted(self) -> bool:
        return self._server is not None and self._server.adopted

    @property
    def record(self) -> ServerRecord | None:
        return self._server.record if self._server is not None else None

    async def start(self) -> None:
        """Raises StartupError with the server's last words."""
        self._server = await asyncio.to_thread(embedded.start, self._settings)
        self._since_s = time.monotonic()

    async def look(self) -> None:
        """Start it again if it died. Raises StartupError once that is hopeless."""
        if self._server is None or self._server.is_alive() or time.monotonic() < self._not_before_s:
            return
        lived_s = time.monotonic() - self._since_s
        self._restarts, delay_s = self._restarts.after(lived_s=lived_s, was_ready=True, returncode=1)
        if delay_s is None:
            raise StartupError("the embedded Redis server dies again and again.", hint="See its log, redis.log.")
        self._not_before_s = time.monotonic() + delay_s
        self._tell("The Redis server ended and is started again with its data.")
        try:
            await self.start()
        except StartupError as error:
            self._since_s = time.monotonic()  # one more quick death
            self._tell(str(error))

    async def stop(self) -> None:
        if self._server is not None:
            await asyncio.to_thread(self._server.stop)

    def row(self) -> ProcessReport:
        """For the table of what runs where."""
        if self._server is None:
            return ProcessReport(name="redis", role="server", pid=0, state="stopped")
        record = self._server.record
        return ProcessReport(
            name="redis",
            role="server",
            pid=record.pid,
            state="ready",
            engine=f"{record.kind} {record.version}",
            address=safe_address(self._server.url),
            log=str(StateDir(self._settings.state_dir).logs / "redis.log"),
        )
