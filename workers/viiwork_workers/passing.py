"""Least loaded by pulling: a worker that is full or holds more than its share hands a hint on to the next in line.

Redis serves the BRPOP that has waited longest, so free workers take turns whatever they hold. With 8 workers of 16
slots at 30 % load, the fullest had 4.8 jobs more in flight than the emptiest. Short BRPOP timeouts for loaded workers,
which send them to the back of the line, made that 2.8 for jobs of 1 s and 2.1 for jobs of 5 s, at 10 more commands a
second from each worker; passing on makes it 1.9 and 2.0 at 0.8 hand-overs a job, and costs an idle fleet nothing.

Each lane has a BRPOP of its own, and both may be answered for the one slot that is left. Then the hint goes back whose
lane it does not belong to. Kept, it stood behind a long job of the other lane; a single slot was held twice, and batch
had every second start instead of every eighth (measured).

This file touches kombu's private `_brpop_sent_at` and the `parse_response` of its client.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping
from typing import Any

from redis.exceptions import RedisError

from viiwork.jobs import Lane
from viiwork.store.scripts import Arg
from viiwork_workers.hub_script import HubScript
from viiwork_workers.ledger import Ledger, owner_of_last

IN_LINE_S = 0.002
"""A reply that comes sooner was no wait: hints lie ready, so nobody stands in line to pass one to."""
ALONE_S = 1.0
"""For how long a worker that serves a queue alone asks nobody."""
ROUND_S = 0.05
"""A hint that this worker passed on so lately has gone all the way round, or nobody else may take it: it is taken."""
AGAIN_S = 0.01
"""A hint that comes back later than this after it was left to the other lane comes for another slot."""
REMEMBERED = 64


class Memory:
    """What a worker knows of hints that it passed on, and of neighbours."""

    def __init__(self) -> None:
        self._passed: deque[tuple[int, float]] = deque(maxlen=REMEMBERED)
        self._left: tuple[int, float, float] = (0, 0.0, 0.0)
        self._alone_until_s = 0.0

    def has_just_passed(self, hint: bytes, *, now_s: float) -> bool:
        """Whether it comes back from a round."""
        return any(hash(hint) == passed and now_s - at_s < ROUND_S for passed, at_s in self._passed)

    def may_leave(self, hint: bytes, *, now_s: float) -> bool:
        """Whether the slot may be left to the other lane; not when that lane did not take it in a whole round."""
        known, first_s, last_s = self._left
        if known != hash(hint) or now_s - last_s >= AGAIN_S:
            first_s = now_s
        self._left = (hash(hint), first_s, now_s)
        return now_s - first_s < ROUND_S

    def may_share(self, *, held: int, waited_s: float, now_s: float) -> bool:
        """Whether somebody else could stand in line who holds less."""
        return held > 0 and waited_s >= IN_LINE_S and now_s >= self._alone_until_s

    def learn(self, hint: bytes, answer: str, *, now_s: float) -> None:
        """What `pass_on.lua` answered."""
        if answer == "passed":
            self._passed.append((hash(hint), now_s))
        elif answer == "alone":
            self._alone_until_s = now_s + ALONE_S


class Passing:
    """Stands behind a channel's BRPOP: a hint that is passed on looks like an empty pop, and the worker asks again."""

    def __init__(
        self, channel: Any, *, script: HubScript, lane: Lane, queues: Mapping[Lane, str], ledger: Ledger
    ) -> None:
        self._channel = channel
        self._script = script
        self._lane = lane
        self._queues = queues
        self._ledger = ledger
        self._memory = Memory()
        self._read = channel.client.parse_response

    def install(self) -> None:
        """Called after every (re)connection, and after foreign messages have been turned away."""
        self._channel.client.parse_response = self._parse_response

    def _parse_response(self, connection: Any, command_name: str, **options: Any) -> Any:
        reply = self._read(connection, command_name, **options)
        return None if command_name == "BRPOP" and reply and self._passes(connection, reply[1]) else reply

    def _passes(self, connection: Any, hint: bytes) -> bool:
        held, now_s, closed = self._ledger.held(), time.monotonic(), self._ledger.closed
        room = 0 if self._lane in closed else max(0, self._ledger.limit - held.total)
        owner = owner_of_last(held, limit=self._ledger.limit, closed=closed) or self._lane
        rival = "" if owner is self._lane or not self._memory.may_leave(hint, now_s=now_s) else self._queues[owner]
        if room and not rival and not self._may_share(hint, held=held.total, now_s=now_s):
            return False
        answer = self._ask(connection, hint, held.total, room, self._ledger.slots, rival)
        if room and not rival:
            self._memory.learn(hint, answer, now_s=now_s)
        return answer == "passed"

    def _may_share(self, hint: bytes, *, held: int, now_s: float) -> bool:
        if self._memory.has_just_passed(hint, now_s=now_s):
            return False
        waited_s = now_s - self._channel._brpop_sent_at
        return self._memory.may_share(held=held, waited_s=waited_s, now_s=now_s)

    def _ask(self, connection: Any, *args: Arg) -> str:
        try:
            answer = self._script(connection, self._queues[self._lane], *args, *self._queues.values())
        except (RedisError, OSError):
            return "kept"  # should it have been passed on as well, a double hint does no harm
        return bytes(answer).decode()
