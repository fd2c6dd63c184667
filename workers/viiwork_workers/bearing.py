"""How a worker stands: what each party has found of it, how many jobs it may hold for that, and what it tells of it."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping
from typing import Any

from viiwork.cardwords import in_one_line
from viiwork.jobs import Lane
from viiwork.roster import HostWatts, WorkerCard
from viiwork_workers.cardstatus import status_of
from viiwork_workers.engines.base import Signals
from viiwork_workers.engines.seat import Readings, Seat
from viiwork_workers.ledger import Ledger
from viiwork_workers.pace import Pace

log = logging.getLogger(__name__)


class Bearing:
    """Noted by the governor, the beats and people, each on a thread of its own; told by beats and in Flower."""

    def __init__(self, card: WorkerCard, ledger: Ledger, seat: Seat | None) -> None:
        self.card = card
        self.ledger = ledger
        self._seat = seat
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
                "engine_version": self._engine.version or self.card.engine_version,
            }
        return self.card.model_copy(update=changing)

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

    @property
    def at_rest(self) -> bool:
        """Whether nothing is in its hands and nothing keeps it from work: nobody waits to hear of it then."""
        ready = self._engine is None or self._engine.ready
        return ready and not (self._quarantine or self._held_back or any(self.ledger.counts().values()))

    def _set_limit(self) -> None:
        limit = 0 if self._quarantine or self._fleet_closed or self._shut else self._engine_limit
        limit = limit if self._at_most is None else min(limit, self._at_most)
        more = limit > self.ledger.limit
        self.ledger.limit = limit
        if more:
            self._wake()

    @property
    def _held_back(self) -> str:
        closed = "the fleet is closed on its head" if self._fleet_closed else ""
        return closed or "; ".join(filter(None, (self._reach, self._throttle)))

    def _wake(self) -> None:
        """More may be taken now: have the transport ask for it."""
        raise NotImplementedError
