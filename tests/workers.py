"""Real worker processes for tests, and jobs to give them."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from pathlib import Path

from viiwork.fleet.plan import settings_env
from viiwork.jobs import Job, Lane, new_id
from viiwork.recipes.check import BUILT_IN
from viiwork.settings import Settings
from viiwork.store import Store
from viiwork.work import ChatInput, Message

ROOT = Path(__file__).resolve().parents[1]
BARE = ("viiwork_workers", "tests.wordy", "tests.witnessed")
"""Modules whose workers of a built-in kind have no process behind them that would be left."""


class Fleet:
    """Worker processes of one test."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self._engineless: set[str] = set()
        self.logs = Path(settings.state_dir) / "logs"
        self.logs.mkdir(parents=True, exist_ok=True)

    def start(
        self,
        *names: str,
        settings: Settings | None = None,
        module: str = "viiwork_workers",
        code: Path = ROOT,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        """Start workers by name: `cpu0`, `gpu1`, `reader0`. `code` is a tree of another version to run them from."""
        env = bare_environ() | settings_env(settings or self.settings) | dict(environ or {})
        if code != ROOT:
            env["PYTHONPATH"] = f"{code}{os.pathsep}{code / 'workers'}"
        engine = (settings or self.settings).engine
        bare = engine.kind in BUILT_IN and not engine.process and module in BARE and not environ
        for name in names:
            (self._engineless.add if bare else self._engineless.discard)(name)
            with (self.logs / f"{name}.log").open("ab") as log:
                self.processes[name] = subprocess.Popen(
                    [sys.executable, "-m", module, name],
                    cwd=code,
                    env=env,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )

    def kill(self, *names: str) -> None:
        """SIGKILL, all at once, as a crash would; and to what is left in their sessions, as the supervisor does."""
        ended = [self.processes.pop(name) for name in names]
        for process in ended:
            process.kill()
        for process in ended:
            process.wait(timeout=60)
            self._end_session(process)

    def bury(self, name: str) -> int:
        """Wait for a worker that ends by itself; answers its exit code."""
        process = self.processes.pop(name)
        code = process.wait(timeout=60)
        self._end_session(process)
        return code

    def _end_session(self, process: subprocess.Popen[bytes]) -> None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)

    def terminate(self, *names: str) -> None:
        """SIGTERM; see `bury` for their exit codes."""
        for name in names:
            self.processes[name].terminate()

    def stop(self, name: str) -> int:
        """SIGTERM, and the exit code."""
        self.terminate(name)
        return self.bury(name)

    def log(self, name: str) -> str:
        return (self.logs / f"{name}.log").read_text("utf-8", errors="replace")

    def close(self) -> None:
        """End what still runs: at once where no engine stands behind it, since an idle worker takes a second to go."""
        self.kill(*self._engineless.intersection(self.processes))
        for process in self.processes.values():
            process.terminate()
        for process in self.processes.values():
            try:
                process.wait(timeout=60)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(timeout=60)


def bare_environ() -> dict[str, str]:
    """The environment, less every setting of VIIWork's: a test's process has those that it is given."""
    return {name: value for name, value in os.environ.items() if not name.startswith("VIIWORK_")}


def make_job(*, lane: Lane = Lane.BATCH, model: str = "noop", text: str = "hello", **fields: object) -> Job:
    """A job on its own."""
    work = ChatInput(messages=(Message(role="user", content=text),), max_output_tokens=16)
    return Job(**{"id": new_id("job"), "tenant": "anna@lab", "lane": lane, "model": model, "input": work, **fields})


async def eventually(check: Callable[[], Awaitable[bool]], *, within_s: float = 60.0, what: str = "") -> None:
    """Wait until `check` holds; a bound, not a timing assertion."""
    loop = asyncio.get_running_loop()
    end = loop.time() + within_s
    while not await check():
        if loop.time() > end:
            raise AssertionError(f"it did not come about within {within_s:.0f} s: {what}")
        await asyncio.sleep(0.02)


async def ready(store: Store, count: int) -> None:
    """Wait until so many workers have joined."""

    async def joined() -> bool:
        return len((await store.fleet()).workers) == count

    await eventually(joined, what=f"{count} workers in the roster")


async def clients(store: Store) -> set[int]:
    """The connections that the server has now, by id."""
    return {int(client["id"]) for client in await store.client.client_list()}


async def drop_connections(store: Store, *, sparing: set[int]) -> None:
    """Drop every connection made since `sparing` was taken, but this test's own: others may use the server too."""
    mine = int(await store.client.client_id())
    for client in await clients(store) - sparing - {mine}:
        await store.client.client_kill_filter(_id=str(client))
