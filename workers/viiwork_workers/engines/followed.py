"""A server that a guard keeps, as its worker sees it: followed, and never lost, whoever of the three dies."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from contextlib import suppress
from pathlib import Path

from viiwork.errors import EngineFault
from viiwork.processes import collect
from viiwork.recipes import Launch
from viiwork.wire import Wire
from viiwork_workers.engines.deaths import Deaths
from viiwork_workers.engines.guard_door import FULL_BYTES
from viiwork_workers.engines.guard_files import GuardFiles
from viiwork_workers.engines.guard_frames import REPORTS, Again, Busy, End, Hello, Load, Phase, line
from viiwork_workers.engines.guard_link import find_or_start, peer, see_end
from viiwork_workers.engines.guard_tree import Person

log = logging.getLogger(__name__)
OPEN_S = 10.0
"""So long `open` waits for the guard's first word; a guard that must wait for a former one says it later."""
SAID_EVERY_S = 1.0
END_S = 40.0
"""What an engine's end may take beyond its grace: the card's memory comes back."""
LAST_WORD_S = 5.0
GUARD_KILLED = "the engine's guard was killed"


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
            log.warning("%s: its engine's guard waits for a former one to end", self._launch.worker)
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
            begin_s = time.monotonic()
            try:
                await self._hear(*await find_or_start(self._files, os.environ))
            except (OSError, TimeoutError) as error:
                if self._fails_to_open(error):
                    return
                log.warning("%s: its engine's guard cannot be reached: %s", self._launch.worker, error)
            if self._following is None:
                return  # it was told to end, and has
            self._lose()
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
        self._writer = writer
        self._meet(peer(writer))
        self._say(Hello(launch=self._launch))
        telling = asyncio.create_task(self._tell_on(), name="engine's guard: busy")
        try:
            while report := await reader.readline():
                self._take(REPORTS.validate_json(report))
        except ValueError:
            log.warning("%s: its engine's guard said what cannot be understood", self._launch.worker)
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

    def _take(self, report: Phase | Load) -> None:
        if isinstance(report, Load):
            self._load = report
            return
        counts = {"life": report.life + self._before.life, "restarts": report.restarts + self._before.restarts}
        self._set(report.model_copy(update=counts))
        if self._first_word is not None and not self._first_word.done():
            self._first_word.set_result(None)

    def _set(self, phase: Phase) -> None:
        if phase.stage != "ready":
            self._load = None
        self._phase = phase
        self._moved.set()

    def _lose(self) -> None:
        """The guard is gone; what it kept is ended by the next one, which starts it again."""
        if self._phase.why != GUARD_KILLED:
            life, restarts = self._phase.life, self._phase.restarts + 1
            self._set(Phase(stage="restarting", life=life, restarts=restarts, why=GUARD_KILLED))

    async def _tell_on(self) -> None:
        while True:
            await asyncio.sleep(SAID_EVERY_S)
            self._say(self._busy)

    def _say(self, frame: Wire) -> None:
        writer = self._writer
        if writer is not None and writer.transport.get_write_buffer_size() < FULL_BYTES:
            writer.write(line(frame))


def _same(phase: Phase, other: Phase) -> bool:
    return phase.model_copy(update={"since_s": 0.0}) == other.model_copy(update={"since_s": 0.0})
