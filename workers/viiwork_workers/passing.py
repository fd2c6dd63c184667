"""Least loaded by pulling: a worker that holds more than its share hands a hint on to the next in line.

Redis serves the BRPOP that has waited longest, so free workers take turns whatever they hold. With 8 workers of 16
slots at 30 % load, the fullest had 4.8 jobs more in flight than the emptiest. Short BRPOP timeouts for loaded workers,
which send them to the back of the line, made that 2.8 for jobs of 1 s and 2.1 for jobs of 5 s, at 10 more commands a
second from each worker; passing on makes it 1.9 and 2.0 at 0.8 hand-overs a job, and costs an idle fleet nothing.

This file touches kombu's private `_brpop_sent_at` and the `parse_response` of its client.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from typing import Any

from redis.exceptions import RedisError

from viiwork.store.scripts import Arg
from viiwork_workers.hub_script import HubScript
from viiwork_workers.ledger import Ledger

IN_LINE_S = 0.002
"""A reply that comes sooner was no wait: hints lie ready, so nobody stands in line to pass one to."""
ALONE_S = 1.0
"""For how long a worker that serves a queue alone asks nobody."""
REMEMBERED = 64


class Memory:
    """Which hints this worker has passed on: one that comes back went all the way round, and is taken."""

    def __init__(self) -> None:
        self._passed: deque[int] = deque(maxlen=REMEMBERED)
        self._alone_until_s = 0.0

    def should_ask(self, hint: bytes, *, held: int, waited_s: float, now_s: float) -> bool:
        """Whether it is worth a trip to ask if this hint is better passed on."""
        return held > 0 and waited_s >= IN_LINE_S and now_s >= self._alone_until_s and hash(hint) not in self._passed

    def learn(self, hint: bytes, answer: str, *, now_s: float) -> None:
        """What `pass_on.lua` answered."""
        if answer == "passed":
            self._passed.append(hash(hint))
        elif answer == "alone":
            self._alone_until_s = now_s + ALONE_S


class Passing:
    """Stands behind a channel's BRPOP: a hint that is passed on looks like an empty pop, and the worker asks again."""

    def __init__(self, channel: Any, *, script: HubScript, queue: str, queues: Sequence[str], ledger: Ledger) -> None:
        self._channel = channel
        self._script = script
        self._queue = queue
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
        held, now_s = self._ledger.held().total, time.monotonic()
        if not self._memory.should_ask(hint, held=held, waited_s=now_s - self._channel._brpop_sent_at, now_s=now_s):
            return False
        args: tuple[Arg, ...] = (self._queue, hint, held, self._ledger.slots, *self._queues)
        try:
            answer = bytes(self._script(connection, *args)).decode()
        except (RedisError, OSError):
            return False  # kept: should it have been passed on as well, a double hint does no harm
        self._memory.learn(hint, answer, now_s=now_s)
        return answer == "passed"
