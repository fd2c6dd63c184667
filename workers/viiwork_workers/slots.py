"""Two lanes in one worker: each with its own kombu channel, its own pop, and admission by our own ledger.

One BRPOP over both queues would make an interactive job wait for a batch slot. Measured under long batch jobs, start
latency p50/max: one queue 7,409/10,408 ms; priority order 285/3,903; two channels 2/36.

This file touches kombu's fields `_qos`, `_in_poll` and `brpop_timeout`, and stops two of its timers;
`tests/contract/test_kombu_internals.py` fails when their meaning changes.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from celery import bootsteps
from celery.worker import state
from kombu.common import ignore_errors
from kombu.transport.virtual import QoS

from viiwork.jobs import Lane
from viiwork.queues import lane_queue, queue_name
from viiwork_workers.bell import Bell
from viiwork_workers.events import EventFlush
from viiwork_workers.hub_script import HubScript
from viiwork_workers.ledger import Held, Ledger, may_take
from viiwork_workers.passing import Passing
from viiwork_workers.station import Station
from viiwork_workers.strangers import turn_away
from viiwork_workers.takes import Takes

IDLE_TIMERS = ("_binding_expiry_tref", "_restore_messages_tref")
"""Timers of kombu's that find nothing to do here: our queues never expire, and nothing is ever restored. The first woke
every idle worker once a second, for a fifth of its hub's time (measured)."""


POP_S = 2
"""For how long a BRPOP waits: kombu's second woke an idle worker twice as often."""
ASKED_S = 0.002
"""Redis has answered by then a BRPOP for which something lay ready."""


class LaneQoS(QoS):  # type: ignore[misc] # kombu is untyped
    """Prefetch by the ledger. Nothing is ever restored: leases replace acknowledgement."""

    restore_at_shutdown = False

    def __init__(
        self, channel: Any, *, lane: Lane, ledger: Ledger, batch_channel: Any, later: Callable[..., object]
    ) -> None:
        """`later(seconds, callback)` wakes the hub for it: the hub's own timers may come a second late."""
        super().__init__(channel, prefetch_count=1)
        self._lane = lane
        self._ledger = ledger
        self._batch_channel = batch_channel
        self._later = later
        self._looks_again = False
        self._rests_until_s = 0.0

    def rest(self, seconds: float) -> None:
        """Ask for nothing for so long."""
        self._rests_until_s = time.monotonic() + seconds
        self._later(seconds, _now)

    def can_consume(self) -> bool:
        # A reply that Redis has popped already must be accepted: at most one over, and never one lost.
        if self.channel._in_poll:
            return True
        if time.monotonic() < self._rests_until_s:
            return False
        held = self._ledger.held(batch_asks=bool(self._batch_channel._in_poll))
        if self._may_take(held):
            return True
        if self._may_take(replace(held, batch_asks=True)):
            self._look_again()
        return False

    def _may_take(self, held: Held) -> bool:
        return may_take(self._lane, held, limit=self._ledger.limit, closed=self._ledger.closed)

    def _look_again(self) -> None:
        """Once the batch lane has asked: nothing else would wake an idle hub, and a person waited for seconds."""
        if not self._looks_again:
            self._looks_again = True
            self._later(ASKED_S, self._now)

    def _now(self) -> None:
        self._looks_again = False
        _now()

    def append(self, message: Any, delivery_tag: str) -> None:  # noqa: ARG002 - kombu's signature
        self._ledger.add(delivery_tag, self._lane)

    def ack(self, delivery_tag: str) -> None:
        self._ledger.drop(delivery_tag)

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:  # noqa: ARG002 - never requeued: see `mend`
        self._ledger.drop(delivery_tag)

    def restore_unacked_once(self, stderr: Any = None) -> None:
        """Nothing to restore; kombu would push, or pickle into the temp folder."""

    def restore_visible(self, *args: Any, **kwargs: Any) -> None:
        """Nothing to restore."""


def _now() -> None:
    """That the hub turns is enough: it asks all channels then."""


def _later(hub: Any, station: Station, seconds: float, callback: Callable[[], None]) -> None:
    """From the engine's thread: only from another one can the hub be woken before its poll is over."""
    station.later(seconds, partial(hub.call_soon, callback))


def stop_idle_timers(cycle: Any) -> None:
    """Called after every (re)connection: kombu starts them anew then."""
    for name in IDLE_TIMERS:
        if (timer := getattr(cycle, name, None)) is not None:
            timer.cancel()


class Slots(bootsteps.StartStopStep):  # type: ignore[misc] # celery is untyped
    """Gives each lane its channel, and on the way out waits for what runs."""

    requires = ("celery.worker.consumer.tasks:Tasks",)

    def __init__(self, c: Any, **kwargs: Any) -> None:
        self._batch: Any = None
        self._pop = HubScript("pop", prefix=c.app.parts.settings.prefix)
        self._pass_on = HubScript("pass_on", prefix=c.app.parts.settings.prefix)
        super().__init__(c, **kwargs)

    def start(self, c: Any) -> None:
        """Both channels are new after every connection; the ledger is not."""
        station: Station = c.app.station
        station.attach(Bell(c.hub.call_soon))
        c.hub.call_soon(station.pump)  # what ended while there was no connection
        EventFlush(c).install()
        stop_idle_timers(c.connection.transport.cycle)
        interactive, batch = c.task_consumer.channel, c.connection.channel()
        queues = {lane: queue_name(lane, station.card.model) for lane in Lane}
        for channel, lane in ((interactive, Lane.INTERACTIVE), (batch, Lane.BATCH)):
            channel.do_restore = False
            channel.brpop_timeout = POP_S
            turn_away(channel)
            channel._qos = LaneQoS(
                channel, lane=lane, ledger=station.ledger, batch_channel=batch, later=partial(_later, c.hub, station)
            )
            Passing(channel, script=self._pass_on, lane=lane, queues=queues, ledger=station.ledger).install()
            name = queues[lane]
            Takes(channel, pop=self._pop, lane=lane, queue=name, ledger=station.ledger, batch_channel=batch).install()
        queue = lane_queue(Lane.BATCH, station.card.model)
        self._batch = c.app.amqp.TaskConsumer(batch, queues=[queue], on_decode_error=c.on_decode_error)
        self._batch.on_message = c.create_task_handler()
        self._batch.consume()

    def stop(self, c: Any) -> None:
        """Stop asking for work; when the worker is leaving, not just reconnecting, see what runs to its end."""
        for consumer in (self._batch, c.task_consumer):
            if consumer is not None:
                ignore_errors(c, consumer.cancel)
        self._batch = None
        if state.should_stop is not None or state.should_terminate is not None:
            station: Station = c.app.station
            station.drain(c.app.drain_grace_s)
            if c.event_dispatcher is not None:  # the hub turns no more, so nobody else would send what the drain told
                ignore_errors(c, c.event_dispatcher.flush)

    def info(self, c: Any) -> dict[str, Any]:
        """Shown on the worker's page in Flower and in `/api/workers`."""
        station: Station = c.app.station
        return {"viiwork": station.facts()}
