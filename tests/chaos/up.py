"""A stage under the real supervisor: `viiwork up`, with the server, the API and the workers that it keeps alive."""

from __future__ import annotations

import signal
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psutil

from tests.chaos.server import Server
from tests.chaos.stage import Stage
from tests.rigging import up
from tests.workers import Fleet
from viiwork.settings import Settings
from viiwork.statedir import StateDir


class Watched:
    """One life of a worker that somebody else started."""

    def __init__(self, pid: int) -> None:
        self.pid = pid

    def poll(self) -> int | None:
        """None while it lives."""
        return None if psutil.pid_exists(self.pid) else 0


class UpFleet(Fleet):
    """The workers of a running `viiwork up`, by its own account; killed here, restarted there."""

    @property  # type: ignore[override] # read from run.json, as any other program would
    def processes(self) -> Mapping[str, Watched]:
        run = StateDir(Path(self.settings.state_dir)).read_run()
        children = run.supervisor.children if run is not None and run.supervisor is not None else ()
        return {child.name: Watched(child.pid) for child in children if child.role == "engine" and child.pid}

    @processes.setter
    def processes(self, value: object) -> None:
        """Whoever starts them writes them down."""

    def start(self, *names: str, **how: Any) -> None:
        """The supervisor does."""

    def kill(self, *names: str) -> None:
        """SIGKILL; returns when they are gone."""
        lives = [psutil.Process(self.processes[name].pid) for name in names]
        for life in lives:
            life.send_signal(signal.SIGKILL)
        psutil.wait_procs(lives, timeout=60)

    def close(self) -> None:
        """They end with their supervisor."""


class UpStage(Stage):
    """`viiwork up` with as many workers as there are names; nothing but SIGKILL is done to it from here."""

    def __init__(self, settings: Settings, *, names: Sequence[str]) -> None:
        workers = settings.workers.model_copy(update={"gpus": len(names), "readers": 0})
        api = settings.api.model_copy(update={"port": 0})
        self._ends = ExitStack()
        self._ends.enter_context(up(settings.model_copy(update={"workers": workers, "api": api})))
        try:
            super().__init__(Server(settings), names=names)
        except BaseException:
            self._ends.close()
            raise
        self.fleet = UpFleet(self.settings)

    def close(self) -> None:
        self.proxy.close()
        self._ends.close()
