"""One worker process: its engine's loop, its store, its beats and what is in its hands."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, TypeVar

from viiwork.cardwords import in_one_line
from viiwork.errors import ViiworkError
from viiwork.jobs import Fault, Lane
from viiwork.queues import HintId
from viiwork.roster import HostWatts, WorkerCard
from viiwork_workers.cardstatus import status_of
from viiwork_workers.commits import End
from viiwork_workers.engines.base import Signals
from viiwork_workers.engines.seat import Readings, Seat
from viiwork_workers.execute import Executor
from viiwork_workers.ledger import Ledger
from viiwork_workers.pace import Pace

log = logging.getLogger(__name__)
GIVE_BACK_S = 5.0
"""How long a worker that leaves waits for Redis to take its jobs back; the last beat takes what is left."""
T = TypeVar("T")
Hub = Callable[[Callable[[], None]], Any]


class LoopThread:
    """An asyncio loop on a thread of its own, so that nothing the transport does can hold the engine up."""

    def __init__(self, name: str) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, name=name, daemon=True)
        self._thread.start()

    def submit(self, coroutine: Coroutine[Any, Any, T]) -> Future[T]:
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop)

    def close(self) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(timeout=5)
        if not self._thread.is_alive():
            self.loop.close()


class Station:
    """Where the transport (Celery's hub thread) hands jobs to the engine's loop, and gets their ends back.

    `ended` callbacks touch Celery's state, so they run in the hub's thread: at once while it turns, and by `pump`
    while the worker drains and the hub stands still.
    """

    def __init__(
        self, thread: LoopThread, executor: Executor, *, card: WorkerCard, ledger: Ledger, seat: Seat | None = None
    ) -> None:
        self.card = card
        self._seat = seat
        self.ledger = ledger
        self.executor = executor
        self._thread = thread
        self._mail: deque[Callable[[], None]] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self._hub: Hub | None = None
        self._backlog: dict[str, int] = {}
        self._engine: Signals | None = None
        self._engine_limit = ledger.slots
        self._looked_s = 0.0
        self._pace = Pace()
        self._tokens_per_s: float | None = None
        self._quarantine = ""
        self._at_most: int | None = None
        self._throttle = ""
        self._closed: dict[str, frozenset[Lane]] = {}
        self._closing = threading.Lock()
        self._power: HostWatts | None = None
        self._opens: dict[Lane, str] = {}
        self._fleet_closed = False
        self._reach, self._shut = "", False
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

    def note_backlog(self, backlog: dict[str, int]) -> None:
        """What the last beat saw before this worker's queues."""
        self._backlog = backlog

    def note_engine(self, signals: Signals | None, *, limit: int) -> None:
        """How the engine stands, and how many jobs it may be given."""
        self._engine, self._engine_limit = signals, limit
        if signals is not None:
            self._looked_s = time.monotonic()
            self._pace.see(signals.output_tokens, now_s=self._looked_s)
            self._tokens_per_s = self._pace.tokens_per_s  # asked for by the thread of the beats
        self._set_limit()

    def note_throttle(self, why: str) -> None:
        """Why heat or watts leave this worker fewer slots than it has, for people; empty when they do not."""
        self._throttle = why

    def close_lanes(self, lanes: frozenset[Lane], *, by: str) -> None:
        """Which lanes take nothing, as far as one party sees it: a person, a schedule. Replaces what that one said."""
        with self._closing:  # people speak on the hub's thread, a schedule on the engine's loop
            before = self.ledger.closed
            self._closed[by] = lanes
            self.ledger.closed = frozenset().union(*self._closed.values())
        if before - self.ledger.closed:
            self._wake()

    def note_host(self, power: HostWatts | None, *, opens: Mapping[Lane, str]) -> None:
        """What its host draws, and when the lanes that the schedule has closed are open again, for people."""
        self._power, self._opens = power, dict(opens)

    def closed_lanes(self, *, by: str) -> frozenset[Lane]:
        """What that one said last."""
        return self._closed.get(by, frozenset())

    def readings(self) -> Readings:
        """Its graphics cards as the last look found them; nothing where it was told of none."""
        return () if self._seat is None else self._seat.readings()

    def note_quarantine(self, why: str) -> None:
        """Why this worker may take nothing, as the fleet found; an empty string when it may."""
        if why and not self._quarantine:
            log.error("%s is quarantined and takes no jobs: %s", self.card.name, why)
        self._quarantine = why
        self._set_limit()

    def note_hold(self, at_most: int | None) -> None:
        """How many jobs it may have while somebody holds it; None when nobody does."""
        if at_most != self._at_most:
            self._at_most = at_most
            self._set_limit()

    def note_closed(self, closed: bool) -> None:
        """Whether the fleet was closed on its head: until it is open again nothing more is taken."""
        if closed != self._fleet_closed:
            told = "the fleet was closed on its head: %s waits" if closed else "the fleet is open again: %s goes on"
            log.warning(told, self.card.name)
        self._fleet_closed = closed
        self._set_limit()

    def note_reach(self, why: str, *, shut: bool) -> None:
        """Why the fleet's documents are not to be had here; `shut`: nothing more is taken until they are."""
        if self._reach and not why:
            log.warning("%s reaches the fleet's documents again", self.card.name)
        self._reach, self._shut = why, shut
        self._set_limit()

    def card_now(self) -> WorkerCard:
        """The card with what changes while it lives, for beats."""
        changing: dict[str, Any] = {
            "limit": self.ledger.limit,
            "throttle": self._held_back,
            "closed": tuple(sorted(self.ledger.closed)),
            "opens": self._opens,
            "power": self._power,
            "cards": tuple(status_of(card, reading) for card, reading in self.readings()),
        }
        if self._engine is not None:
            changing |= {
                "engine_state": self._engine.state,
                "engine_restarts": self._engine.restarts,
                "engine_pid": self._engine.pid,
                "output_tokens": self._engine.output_tokens,
                "counted_ms": int(1000 * (time.monotonic() - self._looked_s)),
                "tokens_per_s": self._tokens_per_s,
                "kv_use": self._engine.kv_use,
            }
        return self.card.model_copy(update=changing)

    @property
    def _held_back(self) -> str:
        closed = "the fleet is closed on its head" if self._fleet_closed else ""
        return closed or "; ".join(filter(None, (self._reach, self._throttle)))

    def facts(self) -> dict[str, Any]:
        """What people see of this worker: in Flower, in `inspect stats`."""
        card = self.card_now()
        told = {
            "model": card.model,
            "engine": card.engine,
            "engine_state": card.engine_state or None,
            "engine_restarts": card.engine_restarts if card.engine_state else None,
            "quarantined": self._quarantine or None,
            "throttle": card.throttle or None,
            "paused": [lane.value for lane in card.closed] or None,
            "slots": card.slots,
            "limit": card.limit,
            "tokens_per_s": card.tokens_per_s,
            "kv_use": None if card.kv_use is None else round(card.kv_use, 3),
            "cards": [in_one_line(one) for one in card.cards] or None,
            "in_flight": {lane.value: count for lane, count in self.ledger.counts().items()},
            "backlog": self._backlog,
            "incarnation": card.incarnation,
        }
        return {name: value for name, value in told.items() if value is not None}

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

    def _set_limit(self) -> None:
        limit = 0 if self._quarantine or self._fleet_closed or self._shut else self._engine_limit
        limit = limit if self._at_most is None else min(limit, self._at_most)
        more = limit > self.ledger.limit
        self.ledger.limit = limit
        if more:
            self._wake()

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
