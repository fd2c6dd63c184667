"""The guard of one worker's engine: whose orders it follows, and what it lets go of at the end."""

from __future__ import annotations

import asyncio
import os
import signal
import time
import traceback
from collections.abc import Mapping

from viiwork.processes import identity
from viiwork.recipes import Launch
from viiwork_workers.engines.guard.board import Board
from viiwork_workers.engines.guard.body import Body
from viiwork_workers.engines.guard.card import Card
from viiwork_workers.engines.guard.child import Reaper
from viiwork_workers.engines.guard.container import InContainer, clear
from viiwork_workers.engines.guard.door import Door
from viiwork_workers.engines.guard.files import GuardFiles
from viiwork_workers.engines.guard.frames import Again, Busy, Doubt, End, Hello, Order
from viiwork_workers.engines.guard.life import Ground
from viiwork_workers.engines.guard.lives import Lives
from viiwork_workers.engines.guard.log import Diary, EngineLog
from viiwork_workers.engines.guard.processes import Processes
from viiwork_workers.engines.guard.record import (
    GuardRecord,
    forget_record,
    left_behind,
    read_record,
    sweep,
    write_record,
)
from viiwork_workers.engines.guard.tree import Person, family
from viiwork_workers.engines.guard.turn import Turn
from viiwork_workers.engines.guard.watch import STALE_S

FIRST_WORD_S = 30.0
"""A guard to which no worker speaks ends itself."""
PULSE_S = 1.0
QUIET_S = 1.5
"""After so much silence it says the load again at the next look, and a second later, where there is none to tell, where
it stands; a worker counts to ten. Each word wakes the worker: four such wakings were all that an idle engine's loop
did."""


class Guard:
    """Follows the worker's orders, and lets go of everything at the end."""

    def __init__(self, files: GuardFiles, *, marks: Mapping[str, str], pace: float) -> None:
        self._files = files
        self._marks = marks
        self._pace = pace
        self._diary = Diary(files.diary)
        self._reaper = Reaper()
        self._log = EngineLog(files.engine_log)
        self._door = Door(files, obey=self._obey, lost=self._lost)
        self._board = Board(self._door.tell, self._diary)
        self._busy: tuple[float, Busy] | None = None
        self._launch: Launch | None = None
        self._lives: Lives | None = None
        self._changed = asyncio.Event()
        self._over = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._former: GuardRecord | None = None
        """What an earlier guard wrote."""
        self._written: GuardRecord | None = None

    async def run(self) -> None:
        """Until the worker says `end`, a signal says so, or no worker has come for too long."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._end, f"signal {number.value}")
        self._reaper.listen()
        self._former = read_record(self._files)
        self._write_record()
        await self._door.open()
        self._end_after(FIRST_WORD_S, "no worker has come")
        leading = asyncio.create_task(self._lead(), name="guard")
        leading.add_done_callback(self._fail_if_defect)
        pulse = asyncio.create_task(self._pulse(), name="pulse")
        try:
            await self._over.wait()
        finally:
            await self._let_go(leading)
            pulse.cancel()

    async def _pulse(self) -> None:
        """A guard that says nothing is taken for a lost one; one that told its load has said something.

        Of an engine whose load stays as it is it says that again.
        """
        while True:
            await asyncio.sleep(PULSE_S)
            quiet_s = self._door.quiet_s
            phase = self._board.again() if quiet_s > QUIET_S else self._board.phase
            if quiet_s > QUIET_S + PULSE_S:
                self._door.tell_if_heard(phase)

    async def _lead(self) -> None:
        """One engine after the other, as the worker asks for them."""
        if self._former is not None and (client := self._former.client) is not None:
            for number in await clear(self._reaper, client, self._files.mark, grace_s=self._former.stop_grace_s):
                self._diary.note(f"ended the container that an earlier guard had left behind: {number[:12]}")
        swept = await sweep(self._files)
        for pid, _ in swept:
            self._diary.note(f"ended what an earlier guard had left behind: pid {pid}")
        while True:
            await self._changed.wait()
            self._changed.clear()
            if swept and self._launch is not None:
                card, swept = Card(self._launch.vram_used_file), []
                await card.freed(await card.look())
            if self._lives is not None:
                lives, self._lives = self._lives, None
                self._board.move("starting", pid=0)
                await lives.close()
            if self._launch is not None and not self._changed.is_set():
                self._write_record()  # a server that somebody else runs starts no process at which it would be written
                self._lives = Lives(self._ground(self._launch), self._board, pace=self._pace)
                self._lives.start().add_done_callback(self._fail_if_defect)

    def _ground(self, launch: Launch) -> Ground:
        return Ground(
            launch=launch,
            body=self._body(launch),
            files=self._files,
            reaper=self._reaper,
            log=self._log,
            card=Card(launch.vram_used_file),
            turn=Turn(self._files.state_dir, self._files.worker),
            marks=self._marks,
            busy=self._busy_now,
            note=self._diary.note,
            write_record=self._write_record,
        )

    def _body(self, launch: Launch) -> Body:
        if launch.container is None:
            return Processes(launch)
        return InContainer(launch, launch.container, files=self._files, reaper=self._reaper)

    def _obey(self, order: Order) -> None:
        match order:
            case Hello(launch=launch):
                self._greet(launch)
            case Busy():
                self._busy = (time.monotonic(), order)
            case Doubt():
                self._diary.note("the worker's requests fail")
                if self._lives is not None:
                    self._lives.doubt()
            case Again():
                self._diary.note("a person has looked: trying once more")
                if self._lives is not None:
                    self._lives.again()
            case End():
                self._end("the worker needs it no more")

    def _greet(self, launch: Launch) -> None:
        """The engine that runs is kept if it is the one that is wanted."""
        self._keep()
        if self._launch is not None and self._launch.fingerprint == launch.fingerprint:
            self._diary.note("a worker has come that wants the same engine")
            if self._lives is not None:
                self._lives.adopt()
        else:
            self._launch = launch
            self._changed.set()
            if self._lives is not None:
                self._board.move("starting", why="another engine is wanted")
        self._door.tell(self._board.again())

    def _lost(self) -> None:
        """The worker is gone: its engine waits for the next one for a while."""
        self._busy = None
        if self._launch is not None and not self._over.is_set():
            self._diary.note(f"the worker is gone; the engine is kept for {self._launch.keep_s:g} s")
            self._end_after(self._launch.keep_s, "no worker has come back")

    def _end_after(self, seconds: float, why: str) -> None:
        self._keep()
        self._timer = asyncio.get_running_loop().call_later(seconds, self._end, why)

    def _keep(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _end(self, why: str) -> None:
        if not self._over.is_set():
            self._diary.note(f"ending: {why}")
            self._over.set()

    def _fail_if_defect(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            traceback.print_exception(error)  # to the diary
            self._end(f"a defect in the guard ({type(error).__name__})")

    def _busy_now(self) -> Busy | None:
        if self._busy is None or time.monotonic() - self._busy[0] > STALE_S:
            return None
        return self._busy[1]

    def _write_record(self) -> None:
        """Who belongs to the engine now; written when that has changed."""
        people, launch = tuple(family()), self._launch
        grace_s = launch.stop_grace_s if launch is not None else 30.0
        grace_s = 0.0 if launch is not None and launch.url and not people else grace_s  # nobody is there to be ended
        container = self._launch.container if self._launch is not None else None
        client = container.client if container is not None else None
        record = GuardRecord(guard=_myself(), people=people, stop_grace_s=grace_s, client=client)
        if record != self._written:
            write_record(self._files, record)
            self._written = record

    async def _let_go(self, leading: asyncio.Task[None]) -> None:
        """Nobody can come in any more; then the engine ends, and the record only if nothing of it is left."""
        self._keep()
        self._door.shut()
        leading.cancel()
        await asyncio.gather(leading, return_exceptions=True)
        if self._board.stage == "ready":  # vLLM does not end while somebody listens: the worker lets go of it now
            self._board.move("starting", why="its guard is ending", fault_of="engine")
        if self._lives is not None:
            await self._lives.close()
        await sweep(self._files)
        if left_behind(self._files):
            self._diary.note("processes of the engine are left that cannot be ended")
        else:
            forget_record(self._files)
        self._diary.note("ended")
        self._door.close()


def _myself() -> Person:
    return os.getpid(), identity(os.getpid()) or ""
