"""What a benchmark runs on: a private server and worker processes in a temporary place, all gone afterwards."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psutil
import redis

from bench.machine import ROOT
from viiwork.errors import StartupError, Unavailable
from viiwork.fleet.plan import child_env
from viiwork.processes import is_alive
from viiwork.settings import Settings, load_settings
from viiwork.statedir import tail
from viiwork.store import Store, embedded
from viiwork.store.opening import make_store

POLL_S = 0.005
STOP_GRACE_S = 15.0
GONE_WITHIN_S = 5.0


class Worker:
    """One worker process of either side."""

    def __init__(self, name: str, argv: list[str], *, env: dict[str, str], log: Path) -> None:
        self.name = name
        self._argv, self._env, self._log = argv, env, log
        self._begin()

    def _begin(self) -> None:
        with self._log.open("ab") as out:
            # A session of its own: Ctrl-C reaches the benchmark alone, which then ends everything in order.
            self._process = subprocess.Popen(
                self._argv, env=self._env, cwd=ROOT, stdout=out, stderr=out, start_new_session=True
            )
        self.process = psutil.Process(self._process.pid)

    def cpu_s(self) -> float:
        """Processor time that it and its children have used so far."""
        times = [process.cpu_times() for process in (self.process, *self.process.children(recursive=True))]
        return float(sum(one.user + one.system for one in times))

    def check(self) -> None:
        """Raises StartupError with its last words when it has ended."""
        if self._process.poll() is not None:
            raise StartupError(f"the worker {self.name} ended. Its last words: {tail(self._log, lines=3) or 'none'}.")

    def terminate(self) -> None:
        """Ask it to leave; `stop` waits for it."""
        self._process.terminate()

    def crash(self) -> None:
        """SIGKILL to all of its session, and a new life."""
        self._process.kill()
        self._process.wait()
        self._end_session()
        self._begin()

    def stop(self) -> None:
        """Waits for it, and ends what is left of its session: told to stop while it starts, it may leave a child."""
        self.terminate()
        try:
            self._process.wait(timeout=STOP_GRACE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(timeout=5)
        self._end_session()

    def _end_session(self) -> None:
        """The signal is sent at once, and heeded a moment later: nobody is to find them still there."""
        end = time.monotonic() + GONE_WITHIN_S
        with suppress(ProcessLookupError):
            while time.monotonic() < end:
                os.killpg(self._process.pid, signal.SIGKILL)
                time.sleep(POLL_S)


class Rig:
    """The server and the settings that both sides share."""

    def __init__(self, settings: Settings, server: embedded.RunningServer) -> None:
        self.settings = settings
        self.url = server.url
        self.server_version = f"{server.record.kind} {server.record.version}"
        self._running = server

    @property
    def server(self) -> psutil.Process:
        """Of its present life."""
        return psutil.Process(self._running.record.pid)

    def server_cpu_s(self) -> float:
        times = self.server.cpu_times()
        return float(times.user + times.system)

    def crash_server(self) -> None:
        """SIGKILL, and a new life on the same data at the same address."""
        record = self._running.record
        os.kill(record.pid, signal.SIGKILL)
        while is_alive(record.pid, record.identity) or self._running.is_alive():
            time.sleep(POLL_S)
        self._running = embedded.start(self.settings)

    def stop_server(self) -> None:
        self._running.stop()

    def store(self) -> Store:
        """The caller closes it."""
        return make_store(self.settings, self.url)

    def address(self, *, db: int) -> str:
        """The server's URL with another database."""
        return self.url.replace("?db=0", f"?db={db}")

    def client(self, *, db: int = 0) -> Any:
        """A plain client, by which completions are counted alike on both sides. The caller closes it."""
        return redis.Redis.from_url(self.address(db=db), decode_responses=True)

    @contextmanager
    def worker(self, name: str, argv: list[str], *, settings: Settings | None = None, **env: str) -> Iterator[Worker]:
        """A worker process that ends with the block."""
        log = self.settings.state_dir / "logs" / f"{name}.log"
        full = {**child_env(settings or self.settings, environ=os.environ), **env}
        worker = Worker(name, [sys.executable, *argv], env=full, log=log)
        try:
            yield worker
        finally:
            worker.stop()


@contextmanager
def make_rig(**sections: Mapping[str, Any]) -> Iterator[Rig]:
    """A rig of its own; when the block ends no process, port or file of it is left. `sections` are further settings."""
    with ExitStack() as stack:
        place = stack.enter_context(TemporaryDirectory(prefix="viiwork-bench-"))
        usual: dict[str, Mapping[str, Any]] = {
            "fleet": {"name": "bench", "state_dir": place},
            "redis": {"url": "embedded"},
            "engine": {"kind": "noop"},
            "flower": {"enabled": False},
        }
        settings = load_settings({name: {**usual.get(name, {}), **sections.get(name, {})} for name in usual | sections})
        rig = Rig(settings, embedded.start(settings))
        stack.callback(rig.stop_server)
        yield rig


async def until(done: Callable[[], bool], *, workers: list[Worker], what: str, within_s: float = 60.0) -> None:
    """Wait until `done`, asking every 5 ms. Raises Unavailable when it does not come about."""
    end = time.monotonic() + within_s
    while not done():
        for worker in workers:
            worker.check()
        if time.monotonic() > end:
            raise Unavailable(f"the benchmark waited {within_s:.0f} s in vain for {what}.")
        await asyncio.sleep(POLL_S)
