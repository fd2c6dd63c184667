"""One life of an engine's process, as its worker sees it: started, asked, ended."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from itertools import count

from viiwork.errors import EngineDied, EngineFault
from viiwork.wire import Wire
from viiwork.work import Answer, ChatInput, StepInput
from viiwork_workers.engines.simulated.frames import (
    LONGEST_LINE_BYTES,
    REPORTS,
    Begin,
    Cancel,
    Ended,
    Load,
    Loaded,
    Run,
    line,
)

COMMAND = (sys.executable, "-P", "-m", "viiwork_workers.engines.simulated.card_process")
"""`-P`: a file in the working directory must not be imported in place of a module."""
PASSED_ON = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "LD_LIBRARY_PATH")
"""What of the environment the engine gets: the rest may hold secrets, such as Redis' password."""
CLOSE_S = 5.0


class EngineChild:
    """A running engine process. `fell` is called when it ends by itself, before its jobs hear of it."""

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        *,
        fell: Callable[[], None],
    ) -> None:
        self.pid = process.pid
        self.load: Load | None = None
        self._process = process
        self._reader = reader
        self._writer = writer
        self._fell = fell
        self.alive = True
        """Until its end is seen; what is asked after that is never answered."""
        self._closing = False
        self._ids = count(1)
        self._jobs: dict[int, asyncio.Future[Answer]] = {}
        self._loaded: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._listener = asyncio.create_task(self._listen(), name="engine process")

    @classmethod
    async def start(cls, begin: Begin, *, fell: Callable[[], None]) -> EngineChild:
        """Start the process and wait until it is loaded, however long that takes. Raises EngineFault."""
        ours, theirs = socket.socketpair()
        try:
            with theirs:
                process = _spawn(theirs, os.environ)
        except OSError as error:
            ours.close()
            raise EngineFault(f"the engine's process cannot be started: {error.strerror}.") from error
        reader, writer = await asyncio.open_connection(sock=ours, limit=LONGEST_LINE_BYTES)
        child = cls(process, reader, writer, fell=fell)
        try:
            child._send(begin)
            await child._loaded
        except BaseException:
            child._loaded.cancel()
            await child.close()
            raise
        return child

    async def run(self, work: ChatInput | StepInput) -> Answer:
        """Have one job answered. Raises JobRefused, EngineFault, or EngineDied when the process ends meanwhile."""
        number = next(self._ids)
        self._jobs[number] = asyncio.get_running_loop().create_future()
        try:
            self._send(Run(id=number, work=work))
            return await self._jobs[number]
        except asyncio.CancelledError:
            self._send(Cancel(id=number))
            raise
        finally:
            del self._jobs[number]

    async def ended(self) -> int:
        """Wait for the process' end; its exit code, negative for a signal."""
        await asyncio.shield(self._listener)
        return self._process.returncode

    async def close(self) -> None:
        """End it: what is in flight in it ends with EngineFault."""
        self._closing = True
        self._writer.close()
        await asyncio.shield(self._listener)

    def _send(self, frame: Wire) -> None:
        if not self._writer.is_closing():
            self._writer.write(line(frame))

    async def _listen(self) -> None:
        try:
            while report := await self._reader.readline():
                self._hear(report)
        except (OSError, ValueError):  # ValueError: a line over the limit, or one that is no report
            pass
        finally:
            self.alive = False
            if not self._closing:
                self._fell()
            self._writer.close()
            await asyncio.to_thread(_see_end, self._process)
            self._settle()

    def _hear(self, report: bytes) -> None:
        frame = REPORTS.validate_json(report)
        if isinstance(frame, Load):
            self.load = frame
        elif isinstance(frame, Loaded):
            self._loaded.set_result(None)
        else:
            self._deliver(frame)

    def _deliver(self, ended: Ended) -> None:
        job = self._jobs.get(ended.id)
        if job is None or job.done():
            return  # cancelled while the answer was under way
        if ended.answer is not None:
            job.set_result(ended.answer)
        elif ended.trouble is not None:
            job.set_exception(ended.trouble.error())

    def _settle(self) -> None:
        """Tell whoever waits that there is nothing left to wait for."""
        end = how_it_ended(self._process.returncode)
        if not self._loaded.done():
            self._loaded.set_exception(EngineFault(f"the engine's process {end} before it was ready."))
        for job in self._jobs.values():
            if not job.done():
                job.set_exception(self._verdict(end))

    def _verdict(self, end: str) -> EngineFault:
        if self._closing:
            return EngineFault("the engine was switched off.", hint="The job is tried again on another worker.")
        return EngineDied(f"the engine's process {end} with the job in it.", hint="The job is tried again, alone.")


def how_it_ended(returncode: int) -> str:
    """`was killed by signal 9`, `ended with code 1`."""
    return f"was killed by signal {-returncode}" if returncode < 0 else f"ended with code {returncode}"


def _spawn(link: socket.socket, environ: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """In a session of its own: Ctrl-C and hang-ups of the worker's terminal are the worker's business."""
    passed = {name: environ[name] for name in PASSED_ON if name in environ}
    return subprocess.Popen(  # noqa: S603 - our own interpreter and module, no shell, nothing from outside
        COMMAND, stdin=link.fileno(), stdout=subprocess.DEVNULL, env=passed, start_new_session=True
    )


def _see_end(process: subprocess.Popen[bytes]) -> None:
    """It ends by itself once its socket is closed; one that does not is killed."""
    with suppress(subprocess.TimeoutExpired):
        process.wait(CLOSE_S)
        return
    process.kill()
    process.wait()
