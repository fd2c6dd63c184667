"""Several hints at once: what a worker has room for beyond the one that its BRPOP brought.

One hint a round trip left three of 24 slots in use with 15 hints ready (measured). So when a BRPOP has brought one, one
more trip on the same connection, idle at that moment, asks for as many as the ledger has room for; `pop.lua` holds them
to this worker's share of what there is. What that leaves is the others', and the worker asks for nothing for a moment:
at once, whoever woke first went over its share one by one. Of a document of 34 parts one of four cards had 10, and all
waited for that card (measured). What is lost with a connection or a process is found by `mend`.

This file touches kombu's private `handlers`, `_in_poll` and `_deliver`, and needs a channel with a `LaneQoS`;
`tests/contract/test_kombu_internals.py` fails when their meaning changes.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

from viiwork.jobs import Lane
from viiwork_workers.hub_script import HubScript
from viiwork_workers.ledger import NONE, Held, Ledger, may_take
from viiwork_workers.strangers import as_hint


def room(lane: Lane, held: Held, *, limit: int, closed: frozenset[Lane] = NONE) -> int:
    """How many more jobs of `lane` a worker may take one after the other, nothing ending meanwhile."""
    count = 0
    while may_take(lane, held, limit=limit, closed=closed):
        count += 1
        held = _with_one_more(lane, held)
    return count


def _with_one_more(lane: Lane, held: Held) -> Held:
    if lane is Lane.BATCH:
        return replace(held, batch=held.batch + 1, streak=0)
    return replace(held, interactive=held.interactive + 1, streak=held.streak + 1)


REST_S = 0.05
"""For how long what is left is left to the others: they only have to wake."""
PATIENCE_S = 1.0
"""From one rest to the next, where the others took nothing in the first: they do not want it."""


class Manners:
    """Whether to rest now, for others to take what is theirs of what is left."""

    def __init__(self) -> None:
        self._left = 0
        self._next_s = 0.0

    def rests(self, *, left: int, now_s: float) -> bool:
        """Asked with what lies ready after each trip, one hint of which may have come by itself."""
        if not left or (now_s < self._next_s and left + 1 >= self._left):
            return False
        self._left, self._next_s = left, now_s + PATIENCE_S
        return True


class Takes:
    """Stands in the place of a channel's BRPOP reader: reads the reply, then takes more."""

    def __init__(
        self, channel: Any, *, pop: HubScript, lane: Lane, queue: str, ledger: Ledger, batch_channel: Any
    ) -> None:
        self._channel = channel
        self._pop = pop
        self._lane = lane
        self._queue = queue
        self._ledger = ledger
        self._batch_channel = batch_channel
        self._manners = Manners()
        self._read_one = channel.handlers["BRPOP"]

    def install(self) -> None:
        """Called after every (re)connection: the channel is new then."""
        self._channel.handlers["BRPOP"] = self

    def __call__(self) -> Any:
        """Raises what kombu's own reader does: Empty when the BRPOP ran out of time, or a connection error."""
        brought = self._read_one()
        held = self._ledger.held(batch_asks=bool(self._batch_channel._in_poll))
        count = room(self._lane, held, limit=self._ledger.limit, closed=self._ledger.closed)
        if count > 0:
            self._take(count, held.batch if self._lane is Lane.BATCH else held.interactive)
        return brought

    def _take(self, count: int, held: int) -> None:
        connection = self._channel.client.connection
        try:
            left, hints = self._pop(connection, self._queue, count, held, self._ledger.slots)
        except self._channel.connection_errors:
            connection.disconnect()
            raise
        for raw in hints:
            if (hint := as_hint(raw)) is not None:
                self._channel.connection._deliver(hint, self._queue)
        if self._manners.rests(left=left, now_s=time.monotonic()):
            self._channel.qos.rest(REST_S)
