"""One worker process: where its transport hands jobs to its engine's loop."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, TypeVar

from viiwork.errors import ViiworkError
from viiwork.jobs import Fault
from viiwork.queues import HintId
from viiwork.roster import WorkerCard
from viiwork_workers.bearing import Bearing
from viiwork_workers.commits import End
from viiwork_workers.engines.seat import Seat
from viiwork_workers.execute import Executor
from viiwork_workers.ledger import Ledger
from viiwork_workers.loopthread import LoopThread

log = logging.getLogger(__name__)
GIVE_BACK_S = 5.0
"""How long a worker that leaves waits for Redis to take its jobs back; the last beat takes what is left."""
T = TypeVar("T")
Hub = Callable[[Callable[[], None]], Any]


class Station(Bearing):
    """Where the transport (Celery's hub thread) hands jobs to the engine's loop, and gets their ends back.

    `ended` callbacks touch Celery's state, so they run in the hub's thread: at once while it turns, and by `pump`
    while the worker drains and the hub stands still.
    """

    def __init__(
        self, thread: LoopThread, executor: Executor, *, card: WorkerCard, ledger: Ledger, seat: Seat | None = None
    ) -> None:
        super().__init__(card, ledger, seat)
        self.executor = executor
        self._thread = thread
        self._mail: deque[Callable[[], None]] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self._hub: Hub | None = None
        self.leaving = False
        self.hurried = False
        """Set by a second signal: what still runs is given back at once."""

    def attach(self, hub: Hub) -> None:
        """Called after every (re)connection: `hub(callback)` runs `callback` in the transport's thread and wakes it."""
        self._hub = hub

    def start(self, hint: str, queue: str, *, started: Callable[[], None], ended: Callable[[End], None]) -> None:
        """Run the job that `hint` names; called in the hub's thread."""
        parsed = HintId.parse(hint)
        if parsed is None or self.leaving:
            self.ledger.drop(hint)  # a hint left lying is published again after its grace
            ended(End("stale"))
            return
        self._thread.loop.call_soon_threadsafe(self._spawn, parsed, hint, queue, started, ended)

    def call(self, coroutine: Coroutine[Any, Any, T]) -> Future[T]:
        """Run a coroutine on the engine's loop from any thread."""
        return self._thread.submit(coroutine)

    def later(self, delay_s: float, callback: Callable[[], object]) -> None:
        """Call back in so many seconds, from the engine's loop; from any thread."""
        self._thread.loop.call_soon_threadsafe(self._thread.loop.call_later, delay_s, callback)

    def abort(self, job: str, state: str) -> None:
        """Drop a job whose lease is gone, and whose record now says `state`; from any thread."""
        self._thread.loop.call_soon_threadsafe(self.executor.hands.abort, job, state)

    def drain(self, grace_s: float) -> None:
        """Finish what runs, give the rest back after `grace_s` or a second signal; called in the hub's thread."""
        self.leaving = True
        with suppress(TimeoutError):
            self.call(self._leave()).result(GIVE_BACK_S)  # waits its turn behind hints that were handed over before
        self._wait(grace_s, patient=True)
        if self._tasks:
            log.warning("giving %d jobs back", len(self._tasks))
            self._thread.loop.call_soon_threadsafe(self.executor.abort_all)
            self._wait(GIVE_BACK_S)

    def pump(self) -> None:
        """Deliver the ends that have come in; called in the hub's thread."""
        while self._mail:
            self._mail.popleft()()

    async def _leave(self) -> None:
        self.executor.leave()

    def _wait(self, limit_s: float, *, patient: bool = False) -> None:
        pause = threading.Event()
        waited_s = 0.0
        while self._tasks and waited_s < limit_s and not (patient and self.hurried):
            pause.wait(0.02)
            waited_s += 0.02
            self.pump()
        self.pump()

    def _spawn(
        self, parsed: HintId, hint: str, queue: str, started: Callable[[], None], ended: Callable[[End], None]
    ) -> None:
        task = self._thread.loop.create_task(self._run(parsed, hint, queue, started, ended))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run(
        self, parsed: HintId, hint: str, queue: str, started: Callable[[], None], ended: Callable[[End], None]
    ) -> None:
        try:
            end = await self.executor.run(parsed, queue, started=lambda: self._post(started))
        except ViiworkError as error:
            log.warning("hint of job %s is dropped: %s", parsed.job, error)
            end = End("stale", Fault(code=error.code, message=error.message))
        except Exception as error:  # noqa: BLE001 - a slot must come free whatever happened in it
            log.error("hint of job %s met a defect: %s", parsed.job, type(error).__name__)  # noqa: TRY400 - no text
            end = End("stale", Fault(code="internal", message="The worker met a defect."))
        self.ledger.drop(hint)
        self._post(lambda: ended(end))

    def _post(self, callback: Callable[[], None]) -> None:
        self._mail.append(callback)
        self._wake()

    def _wake(self) -> None:
        """Have the transport's thread deliver what has come in; it also asks for more work then."""
        if self._hub is not None:
            self._hub(self.pump)
