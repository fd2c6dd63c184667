"""A private server that may be hurt: killed, kept away, filled, cut off from its disk."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from viiwork.processes import is_alive
from viiwork.settings import Settings
from viiwork.store import embedded


class Server:
    """The embedded server of one stage. Its address and password outlive its process."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._running = embedded.start(settings)
        self.url = self._running.url

    @property
    def pid(self) -> int:
        return self._running.record.pid

    @property
    def append_only_file(self) -> Path:
        """The part that grows."""
        folder = self._settings.state_dir / "redis" / "appendonlydir"
        return max(folder.glob("*.incr.aof"), key=lambda path: path.stat().st_mtime)

    def kill(self) -> None:
        """SIGKILL, and nothing else: it writes nothing out."""
        os.kill(self.pid, signal.SIGKILL)
        while is_alive(self.pid, self._running.record.identity) or self._running.is_alive():
            pass

    def start(self) -> None:
        """Start it again, on the same data and at the same address."""
        self._running = embedded.start(self._settings)
        assert self._running.url == self.url, "it came back at another address"

    def stop(self) -> None:
        self._running.stop()
