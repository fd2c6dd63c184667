"""An engine's lives, one after the other, until it is given up or not needed any more."""

from __future__ import annotations

import asyncio
import time
import traceback

from viiwork_workers.engines.guard.board import Board
from viiwork_workers.engines.guard.course import Course, Fall
from viiwork_workers.engines.guard.frames import Stage
from viiwork_workers.engines.guard.life import Ground, Life
from viiwork_workers.engines.guard.record import sweep

HUNG_GRACE_S = 5.0
"""A process that hangs rarely finds its way out by itself."""


class Lives:
    """`pace` shortens pauses, and with them what counts as a quick death: for tests."""

    def __init__(self, ground: Ground, board: Board, *, pace: float = 1.0) -> None:
        self.launch = ground.launch
        self._ground = ground
        self._board = board
        self._pace = pace
        self._course = Course()
        self._life: Life | None = None
        self._again = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> asyncio.Task[None]:
        """Begin the first life; the task never ends by itself."""
        self._task = asyncio.create_task(self._run(), name="engine's lives")
        return self._task

    def adopt(self) -> None:
        """Another life of the worker wants the engine as it is."""
        if self._life is not None:
            self._life.adopt()

    def doubt(self) -> None:
        """The worker's requests fail: look at the engine now."""
        if self._life is not None:
            self._life.doubt()

    def again(self) -> None:
        """A person has looked: one more try, if it was given up."""
        if self._course.given_up:
            self._again.set()

    async def close(self) -> None:
        """End the engine gently, and everything that it started."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self._clear_away(grace_s=self.launch.stop_grace_s)

    async def _run(self) -> None:
        while True:
            self._life = Life(self._ground, self._board, sane=self._sane)
            fall = await fall_of(self._life)
            self._life, fell_s = None, time.monotonic()
            self._course = self._course.after(fall, pace=self._pace)
            self._tell(fall)
            await self._clear_away(grace_s=HUNG_GRACE_S if fall.how == "hung" else self.launch.stop_grace_s)
            if self._course.given_up:
                await self._again.wait()
                self._again.clear()
                self._course = self._course.again()
                self._board.move("starting", deaths=0)
            else:
                await asyncio.sleep(self._course.pause_s * self._pace)
            if fall.was_ready:  # one that fell while it loaded still has its turn
                await self._await_turn(fell_s)

    async def _await_turn(self, fell_s: float) -> None:
        """The one that its power room gives it after it fell, where there is such a room."""
        turn = self._ground.turn
        if not self.launch.url and not turn.has_come(fell_s=fell_s):
            phase = self._board.phase
            self._board.move("restarting", why=phase.why, advice=phase.advice, awaits_turn=True)
            await turn.wait(fell_s=fell_s)

    def _sane(self) -> None:
        self._course = self._course.sane()

    def _tell(self, fall: Fall) -> None:
        deaths = self._course.deaths
        counts = {"pid": 0, "deaths": deaths.quick, "restarts": deaths.total}
        stage: Stage = "failed" if self._course.given_up else "restarting"
        times = f" ({deaths.quick} times in a row)" if self._course.given_up and deaths.quick > 1 else ""
        told = {"why": fall.why + times, "advice": fall.advice, "fault_of": fall.fault_of}
        self._board.move(stage, away=fall.how == "away", unserved=fall.how == "unserved", **told, **counts)

    async def _clear_away(self, *, grace_s: float) -> None:
        """Every process of it, and its memory on the card."""
        if self.launch.url:
            return
        before_bytes = await self._ground.card.before_end()
        await self._ground.body.end(grace_s=min(grace_s, self.launch.stop_grace_s))
        await sweep(self._ground.files, grace_s=0.0)  # nobody leaves its family; if somebody did, this finds it
        await self._ground.card.freed(before_bytes)
        self._ground.write_record()


async def fall_of(life: Life) -> Fall:
    """A defect in how an engine is looked after ends that life alone."""
    try:
        return await life.live()
    except Exception as error:  # noqa: BLE001 - whatever an engine's answers bring about, its guard must live on
        traceback.print_exception(error)  # to the diary
        return Fall("died", f"a defect in the guard ({type(error).__name__})", "Report it with the guard's log.")
