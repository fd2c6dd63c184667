"""A server that a guard keeps, as its worker sees it: followed, and never lost, whoever of the three dies."""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import signal
import time
from contextlib import suppress
from pathlib import Path

from viiwork.errors import EngineFault
from viiwork.processes import collect, send, wait_gone
from viiwork.recipes import Launch
from viiwork.wire import Wire
from viiwork_workers.engines.deaths import Deaths
from viiwork_workers.engines.guard.door import FULL_BYTES
from viiwork_workers.engines.guard.files import GuardFiles
from viiwork_workers.engines.guard.frames import (
    REPORTS,
    Again,
    Busy,
    Doubt,
    End,
    Hello,
    Load,
    Phase,
    Taken,
    line,
)
from viiwork_workers.engines.guard.link import find_or_start, peer, see_end
from viiwork_workers.engines.guard.tree import Person
from viiwork_workers.engines.unison import pause_s

log = logging.getLogger(__name__)
OPEN_S = 10.0
"""So long `open` waits for the guard's first word; a guard that must wait for a former one says it later."""
SAID_EVERY_S = 1.0
END_S = 40.0
"""What an engine's end may take beyond its grace: the card's memory comes back."""
LAST_WORD_S = 5.0
MANY_SILENT = 10
"""Seconds without a word, by our own count, after which a guard is lost: it speaks every third at least. Time in which
we ourselves were stopped is not counted."""
KILL_S = 5.0
GUARD_KILLED = "the engine's guard was killed"
GUARD_SILENT = "the engine's guard did not answer any more"
TAKEN = "another worker of this name is running"


class NameTaken(OSError):
    """Raised when the guard already has a worker of this name, that speaks."""


class FollowedKeeper:
    """Implements `Keeper`."""

    def __init__(self, launch: Launch, *, state_dir: Path) -> None:
        self._launch = launch
        self._files = GuardFiles.of(state_dir, launch.worker)
        self._phase = Phase(stage="starting")
        self._load: Load | None = None
        self._busy = Busy(running=0, received_bytes=0)
        self._before = Phase(stage="starting")
        """Where the engine stood with the guards that are gone: each of them counts from 0."""
        self._moved = asyncio.Event()
        self._who = secrets.token_hex(8)
        self._silent = 0
        self._guard: Person | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._following: asyncio.Task[None] | None = None
        self._first_word: asyncio.Future[None] | None = None

    @property
    def phase(self) -> Phase:
        """Where the engine stands, as its guard told of it last."""
        return self._phase

    @property
    def load(self) -> Load | None:
        """What its metrics said last, while it is ready."""
        return self._load

    async def open(self) -> None:
        """Find or start the guard. Raises EngineFault when none can be started."""
        self._first_word = asyncio.get_running_loop().create_future()
        self._following = asyncio.create_task(self._follow(), name="engine's guard")
        try:
            await asyncio.wait_for(asyncio.shield(self._first_word), OPEN_S)
        except TimeoutError:
            self._first_word = None  # nobody waits for it any more: whatever happens, the guard is looked for on
            log.warning("%s: its engine's guard waits for a former one to end", self._launch.worker)
        except NameTaken as error:
            raise EngineFault(
                f"another worker named {self._launch.worker} is running here: {error}.",
                hint="End it, or give this one another name or another fleet.state_dir.",
            ) from error
        except OSError as error:
            raise EngineFault(
                f"the guard of {self._launch.worker}'s engine cannot be started: {error.strerror or error}.",
                hint=f"See {self._files.diary}.",
            ) from error

    async def changed(self, than: Phase) -> Phase:
        """Wait until the phase is another one than `than`; answers it."""
        while _same(self._phase, than):
            self._moved.clear()
            await self._moved.wait()
        return self._phase

    def busy(self, *, running: int, received_bytes: int) -> None:
        """Tell what the worker has in the engine."""
        self._busy = Busy(running=running, received_bytes=received_bytes)

    def doubt(self) -> None:
        """Several requests in a row have failed: have the server looked at now."""
        self._say(Doubt())

    def again(self) -> None:
        """A person has looked: try once more although it was given up."""
        self._say(Again())

    async def close(self, *, keep: bool = False) -> None:
        """End the server gently and its guard with it; with `keep`, leave them to the next life of this worker."""
        following, self._following = self._following, None
        if following is None:
            return
        end_s = self._launch.stop_grace_s + END_S
        if not keep and self._writer is not None:
            self._say(End())
            await asyncio.wait([following], timeout=end_s)
            end_s = LAST_WORD_S
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
        if not keep and await see_end(self._files, self._guard, within_s=end_s):
            log.warning("%s: what was left of its engine was ended", self._launch.worker)

    async def _follow(self) -> None:
        """One guard after the other, for as long as this worker wants its engine."""
        deaths = Deaths()
        while True:
            begin_s, why = time.monotonic(), GUARD_KILLED
            try:
                await self._hear(*await find_or_start(self._files, os.environ))
            except (OSError, TimeoutError) as error:
                if self._fails_to_open(error):
                    return
                why = TAKEN if isinstance(error, NameTaken) else why
                log.warning("%s: its engine's guard cannot be reached: %s", self._launch.worker, error)
            if self._following is None:
                return  # it was told to end, and has
            await self._lose(why)
            deaths = deaths.after(served_s=time.monotonic() - begin_s)
            await asyncio.sleep(deaths.pause_s)
            if self._guard is not None:
                collect(self._guard[0])

    def _fails_to_open(self, error: OSError) -> bool:
        if self._first_word is None or self._first_word.done():
            return False
        self._first_word.set_exception(error)
        return True

    async def _hear(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Until the guard is gone."""
        self._writer, self._silent = writer, 0
        self._meet(peer(writer))
        self._say(Hello(launch=self._launch, who=self._who))
        telling = asyncio.create_task(self._tell_on(), name="engine's guard: busy")
        try:
            while report := await reader.readline():
                self._silent = 0
                self._take(REPORTS.validate_json(report))
                await asyncio.sleep(0)  # so that who follows hears each: a fall and the start after it come together
        except ValueError:
            log.warning("%s: its engine's guard said what cannot be understood", self._launch.worker)
        except NameTaken:
            self._guard = None  # not ours to end
            raise
        except OSError:
            pass  # as if it had said no more
        finally:
            self._writer = None
            telling.cancel()
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    def _meet(self, guard: Person | None) -> None:
        if guard != self._guard:
            self._guard, self._before = guard, self._phase

    def _take(self, report: Phase | Load | Taken) -> None:
        if isinstance(report, Taken):
            raise NameTaken(f"process {report.pid}")
        if isinstance(report, Load):
            self._load = report
            return
        counts = {"life": report.life + self._before.life, "restarts": report.restarts + self._before.restarts}
        self._set(report.model_copy(update=counts))
        if self._first_word is not None and not self._first_word.done():
            self._first_word.set_result(None)

    def _set(self, phase: Phase) -> None:
        if _same(phase, self._phase):
            return  # said again, so that we know that it lives
        if phase.stage != "ready":
            self._load = None
        self._phase = phase
        self._moved.set()

    async def _lose(self, why: str) -> None:
        """The guard is gone; what it kept is ended by the next one, which starts it again."""
        lost = self._silent >= MANY_SILENT
        why = GUARD_SILENT if lost else why
        if self._phase.why not in (GUARD_KILLED, GUARD_SILENT, TAKEN):
            life, restarts = self._phase.life, self._phase.restarts + 1
            self._set(Phase(stage="restarting", life=life, restarts=restarts, why=why))
        if lost and self._guard is not None and send(*self._guard, signal.SIGKILL):
            log.error("%s: %s: it was killed", self._launch.worker, why)
            await asyncio.to_thread(wait_gone, [self._guard], timeout_s=KILL_S)

    async def _tell_on(self) -> None:
        while self._silent < MANY_SILENT:
            await asyncio.sleep(pause_s(SAID_EVERY_S, now_s=asyncio.get_running_loop().time()))
            self._silent += 1
            self._say(self._busy)
        if self._writer is not None:
            self._writer.transport.abort()  # ends the reading of it

    def _say(self, frame: Wire) -> None:
        writer = self._writer
        if writer is not None and writer.transport.get_write_buffer_size() < FULL_BYTES:
            writer.write(line(frame))


def _same(phase: Phase, other: Phase) -> bool:
    return phase.model_copy(update={"since_s": 0.0}) == other.model_copy(update={"since_s": 0.0})
