"""One process that is kept running."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from enum import StrEnum
from pathlib import Path

from viiwork.fleet.plan import ProcessSpec
from viiwork.fleet.readypipe import ReadyPipe
from viiwork.fleet.restarts import Restarts
from viiwork.statedir import ChildRecord, rotate, tail

HURRIED_GRACE_S = 2.0
MAKING_WAY_S = 5.0
"""Beyond the time that a process may go on when another follows."""


class ChildState(StrEnum):
    """Where a process stands."""

    STARTING = "starting"
    READY = "ready"
    RESTARTING = "restarting"
    FAILED = "failed"
    STOPPED = "stopped"


class Child:
    """Starts its process in a session of its own, so that a terminal's Ctrl-C or hang-up never reaches it."""

    def __init__(self, spec: ProcessSpec, *, logs: Path, on_exit: Callable[[Child, int, int], Awaitable[None]]) -> None:
        self.spec = spec
        self.log = logs / f"{spec.name}.log"
        self.state = ChildState.STARTING
        self.pid = 0
        self.restarts = Restarts()
        self.needed = False
        """Set once the fleet is announced: from then on it is not given up if it ever was ready."""
        self.answers = spec.listener is None
        """Whether it told that it answers; always, where it has nothing to tell it by."""
        self._on_exit = on_exit
        self._process: asyncio.subprocess.Process | None = None
        self._stopping = asyncio.Event()
        self._making_way = False
        self._over = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    def stopping(self) -> bool:
        """Whether it was asked to end: what it held then is nobody's fault."""
        return self._stopping.is_set()

    def start(self) -> None:
        """Begin to keep it; returns at once."""
        self._task = asyncio.create_task(self._keep(), name=self.spec.name)

    async def _keep(self) -> None:
        """Run it, again and again, until it is stopped or given up."""
        try:
            delay_s: float | None = 0.0
            while delay_s is not None and not await self._stopped_within(delay_s):
                delay_s = await self._live()
            if delay_s is not None:
                self.state = ChildState.STOPPED
        finally:
            self._over.set()

    async def _live(self) -> float | None:
        """One life; then the seconds to wait before the next one, or None if there is none."""
        begin_s = time.monotonic()
        returncode = await self._run_once()
        if self._stopping.is_set():
            await self._on_exit(self, self.pid, returncode)
            return 0.0
        self.restarts, delay_s = self.restarts.after(
            lived_s=time.monotonic() - begin_s,
            was_ready=self.state is ChildState.READY,
            returncode=returncode,
            needed=self.needed,
        )
        self.state = ChildState.FAILED if delay_s is None else ChildState.RESTARTING
        await self._on_exit(self, self.pid, returncode)
        return delay_s

    async def _run_once(self) -> int:
        """Start it and wait for its end; 127 when it cannot be started."""
        self.state, self.answers = ChildState.STARTING, self.spec.listener is None
        try:
            process = await self._spawn()
        except OSError as error:
            self.pid = 0
            with suppress(OSError):
                self.log.write_text(f"{self.spec.argv[0]} cannot be started: {error.strerror}\n", encoding="utf-8")
            return 127
        self.pid, self._process = process.pid, process
        if self._stopping.is_set():  # it was asked to stop while it was being started
            self._send(signal.SIGTERM)
        returncode = await process.wait()
        self._process = None
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)  # helpers it left behind in its session
        return returncode

    async def _stopped_within(self, seconds: float) -> bool:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), seconds)
        return self._stopping.is_set()

    async def _spawn(self) -> asyncio.subprocess.Process:
        rotate(self.log)
        handle = os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            with ReadyPipe(self.spec.listener, tell=self._answered) as handed:
                return await asyncio.create_subprocess_exec(
                    *self.spec.argv,
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=handle,
                    stderr=handle,
                    env={**self.spec.env, **handed.env},
                    pass_fds=handed.numbers,
                    start_new_session=True,
                )
        finally:
            os.close(handle)

    def _answered(self) -> None:
        self.answers = True

    async def make_way(self, *, hurry: asyncio.Event) -> None:
        """SIGHUP: another follows, and it finishes what it has in hand; then as `stop`, which also cuts this short."""
        self._stopping.set()
        self._making_way = True
        self._send(signal.SIGHUP)
        with suppress(TimeoutError):
            await asyncio.wait_for(self._over.wait(), self.spec.drain_s + MAKING_WAY_S)
        await self.stop(hurry=hurry)

    async def stop(self, *, hurry: asyncio.Event) -> None:
        """SIGTERM, its grace (shorter once `hurry` is set), SIGKILL. It is not started again.

        Whoever stops it once more only waits: a second SIGTERM would have it give back at once what it has in hand.
        """
        asked, self._making_way = self.stopping and not self._making_way, False
        self._stopping.set()
        if self._task is None:
            return
        if not asked:
            self._send(signal.SIGTERM)
        if not await self._ended(self.spec.stop_grace_s, hurry=hurry):
            self._send(signal.SIGKILL)
            await self._over.wait()

    async def _ended(self, grace_s: float, *, hurry: asyncio.Event) -> bool:
        deadline = time.monotonic() + grace_s
        hurried = False
        while not self._over.is_set() and time.monotonic() < deadline:
            if hurry.is_set() and not hurried:
                hurried, deadline = True, min(deadline, time.monotonic() + HURRIED_GRACE_S)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._over.wait(), 0.1)
        return self._over.is_set()

    def _send(self, number: signal.Signals) -> None:
        if self._process is not None:
            with suppress(ProcessLookupError):
                self._process.send_signal(number)

    def last_words(self) -> str:
        """The end of its log in one line."""
        return tail(self.log, lines=3)

    def shown_state(self) -> str:
        """Its state for people; one that dies again and again stays `restarting (n deaths)` between its attempts."""
        if self.restarts.slow and self.state in (ChildState.STARTING, ChildState.RESTARTING):
            return f"{ChildState.RESTARTING.value} ({self.restarts.quick_deaths} deaths)"
        return self.state.value

    def record(self) -> ChildRecord:
        """For run.json."""
        return ChildRecord(
            name=self.spec.name,
            role=self.spec.role.value,
            pid=self.pid,
            state=self.shown_state(),
            restarts=self.restarts.total,
            address=self.spec.address,
            log=str(self.log),
        )
