"""What the worker's transport relies on inside kombu and Celery: these fail when a new version means something else.

`viiwork_workers/slots.py` puts its own QoS in the place of a channel's, reads `_in_poll`, switches `do_restore` off and
stops two timers; `takes.py` puts itself in the place of a channel's BRPOP reader, asks for more on that connection and
delivers it; `station.py` wakes the hub with `call_soon`; `events.py` takes over the event dispatcher's
`on_send_buffered`.
"""

from __future__ import annotations

import inspect
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from celery import Celery
from kombu import Consumer
from kombu.asynchronous import Hub, set_event_loop
from kombu.transport import redis as kombu_redis
from kombu.transport.virtual import QoS

from viiwork.jobs import Lane
from viiwork.queues import lane_queue, make_app, make_envelope, queue_name
from viiwork.settings import Settings
from viiwork.store.endpoint import broker
from viiwork_workers import takes
from viiwork_workers.hub_script import HubScript
from viiwork_workers.ledger import BATCH_TURN, Ledger, reserve
from viiwork_workers.slots import IDLE_TIMERS, LaneQoS, stop_idle_timers
from viiwork_workers.takes import Takes

MODEL = "noop"
WITHIN_S = 60.0


class Transport:
    """A worker's transport without the worker: a hub, one connection, a channel a lane, and what they delivered."""

    def __init__(self, settings: Settings, *, slots: int, woken: bool = True) -> None:
        """`woken`: the hub turns even if nothing happens."""
        server = broker(settings.redis.url)
        self.app: Celery = make_app(settings, broker_url=server.url, broker_options=server.transport_options)
        self.raw = redis.Redis.from_url(settings.redis.url, decode_responses=True)
        self.prefix = settings.prefix
        self.ledger = Ledger(slots)
        self.pop = HubScript("pop", prefix=settings.prefix)
        self.messages: list[Any] = []
        self.later_calls = 0
        self.hub = Hub()
        set_event_loop(self.hub)
        self.connection = self.app.connection_for_read()
        self.channels = {lane: self.connection.channel() for lane in Lane}
        for lane, channel in self.channels.items():
            channel.do_restore = False
            batch = self.channels[Lane.BATCH]
            channel._qos = LaneQoS(channel, lane=lane, ledger=self.ledger, batch_channel=batch, later=self.later)
            name = queue_name(lane, MODEL)
            Takes(channel, pop=self.pop, lane=lane, queue=name, ledger=self.ledger, batch_channel=batch).install()
            consumer = Consumer(
                channel, queues=[lane_queue(lane, MODEL)], on_message=self.messages.append, accept=["json"]
            )
            consumer.consume()
        self.connection.register_with_event_loop(self.hub)
        if woken:
            self.hub.call_repeatedly(0.005, lambda: None)
        self._loop = self.hub.create_loop()

    def later(self, seconds: float, callback: Callable[[], None]) -> None:
        self.later_calls += 1
        timer = threading.Timer(seconds, self.hub.call_soon, [callback])
        timer.daemon = True
        timer.start()

    def put(self, lane: Lane, count: int, *, first: int = 0) -> list[str]:
        """Raw hints as `release` publishes them, and counted as it counts them; answers their ids."""
        self.raw.hincrby(f"{self.prefix}depth", f"{queue_name(lane, MODEL)}|queued", count)
        ids = [f"job_{lane.value}{n}.1.1" for n in range(first, first + count)]
        for hint in ids:
            message = make_envelope_of(hint, lane)
            self.raw.lpush(self.prefix + queue_name(lane, MODEL), message)
        return ids

    def left(self, lane: Lane) -> int:
        return int(self.raw.llen(self.prefix + queue_name(lane, MODEL)))

    def turn(self, times: int = 60) -> None:
        for _ in range(times):
            next(self._loop)

    def turn_until(self, held: int) -> None:
        """Until so many hints are held, and some turns more in case there are too many."""
        until_s = time.monotonic() + WITHIN_S
        while len(self.messages) < held and time.monotonic() < until_s:
            next(self._loop)
        self.turn()

    def turn_until_something(self) -> None:
        """One turn that delivers, and not one more."""
        while not self.messages:
            next(self._loop)

    def count_workers(self, *slots: int) -> None:
        """So many slots have the workers of the model, as their beats tell."""
        for lane in Lane:
            for number, of_worker in enumerate(slots):
                self.raw.hset(f"{self.prefix}slots:{queue_name(lane, MODEL)}", f"other{number}", of_worker)

    def delivered(self) -> list[str]:
        return [message.delivery_tag for message in self.messages]

    def close(self) -> None:
        self.connection.close()
        self.hub.close()
        set_event_loop(None)
        for key in self.raw.scan_iter(match=f"{self.prefix}*"):
            self.raw.delete(key)
        self.raw.close()


ENVELOPE = make_envelope()


def make_envelope_of(hint: str, lane: Lane) -> str:
    parts = {"HINT": hint, "JOB": hint.partition(".")[0], "TASK": "viiwork.run", "QUEUE": queue_name(lane, MODEL)}
    text = ENVELOPE
    for name, value in {**parts, "LANE": lane.value, "MODEL": MODEL}.items():
        text = text.replace(f"@{name}@", value)
    return text


@pytest.fixture
def slots() -> int:
    return 8


@pytest.fixture
def transport(settings: Settings, slots: int) -> Iterator[Transport]:
    made = Transport(settings, slots=slots)
    yield made
    made.close()


def test_of_100_interactive_hints_a_worker_takes_its_slots_and_no_more(transport: Transport, slots: int) -> None:
    """The batch queue is empty and its pop under way, so its slot may be used too."""
    transport.put(Lane.INTERACTIVE, 100)
    transport.turn_until(slots)
    assert len(transport.messages) == slots
    assert transport.left(Lane.INTERACTIVE) == 100 - slots


def test_of_100_batch_hints_a_worker_leaves_the_reserve_free(transport: Transport, slots: int) -> None:
    transport.put(Lane.BATCH, 100)
    share = slots - reserve(slots)
    transport.turn_until(share)
    assert len(transport.messages) == share
    assert transport.left(Lane.BATCH) == 100 - share


def test_under_both_lanes_people_get_the_reserve(transport: Transport, slots: int) -> None:
    transport.put(Lane.BATCH, 100)
    transport.turn_until(slots - reserve(slots))
    transport.put(Lane.INTERACTIVE, 100)
    transport.turn_until(slots)
    held = transport.ledger.held()
    assert (held.batch, held.interactive) == (slots - reserve(slots), reserve(slots))
    assert transport.left(Lane.INTERACTIVE) == 100 - reserve(slots)


def test_a_slot_that_comes_free_is_filled_with_the_next_hint(transport: Transport, slots: int) -> None:
    """In order, one for one."""
    ids = transport.put(Lane.INTERACTIVE, slots + 3)
    transport.turn_until(slots)
    for count in (1, 2, 3):
        transport.ledger.drop(transport.delivered()[count - 1])
        transport.turn_until(slots + count)
    assert transport.delivered() == ids


def test_what_there_is_room_for_comes_in_one_turn_and_in_order(transport: Transport, slots: int) -> None:
    """One hint by the BRPOP, the rest by one more trip; measured, one a trip left most slots idle."""
    ids = transport.put(Lane.BATCH, 100)
    transport.turn_until_something()
    assert transport.delivered() == ids[: slots - reserve(slots)]
    assert transport.ledger.held().batch == slots - reserve(slots)


def test_a_worker_among_others_takes_its_share_and_no_more(transport: Transport, slots: int) -> None:
    """Idle workers are not robbed: of 8 hints for two workers of 8 slots, one gets 4 at once."""
    transport.count_workers(slots, slots)
    transport.put(Lane.INTERACTIVE, 8)
    transport.turn_until_something()
    assert len(transport.messages) == 4
    assert transport.left(Lane.INTERACTIVE) == 4


def test_what_its_share_leaves_is_left_to_the_others_for_a_moment(
    transport: Transport, slots: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever woke first would take all of it otherwise, one after the other."""
    monkeypatch.setattr(takes, "REST_S", 600.0)
    transport.count_workers(slots, slots)
    transport.put(Lane.BATCH, 4)
    transport.turn_until_something()
    transport.turn(20)
    assert (len(transport.messages), transport.left(Lane.BATCH)) == (2, 2)


def test_what_nobody_takes_is_taken_after_that_moment(transport: Transport, slots: int) -> None:
    transport.count_workers(slots, slots)
    transport.put(Lane.BATCH, 4)
    transport.turn_until(4)
    assert transport.left(Lane.BATCH) == 0


def test_a_lowered_limit_holds_for_all_of_a_take(transport: Transport) -> None:
    transport.ledger.limit = 3
    transport.put(Lane.INTERACTIVE, 100)
    transport.turn_until(3)
    assert len(transport.messages) == 3


@pytest.mark.parametrize("slots", [1])
def test_a_worker_with_one_slot_takes_one(transport: Transport) -> None:
    transport.put(Lane.BATCH, 10)
    transport.turn_until(1)
    assert len(transport.messages) == 1
    assert transport.left(Lane.BATCH) == 9


def test_with_one_slot_a_person_waits_for_an_empty_batch_lane_to_have_asked_and_no_longer(settings: Settings) -> None:
    """It is batch's turn and nothing waits there. Nothing else wakes a quiet hub before that pop runs out of time."""
    transport = Transport(settings, slots=1, woken=False)
    try:
        for number in range(BATCH_TURN):
            transport.ledger.add(f"job_earlier{number}.1.1", Lane.INTERACTIVE)
            transport.ledger.drop(f"job_earlier{number}.1.1")
        people, batch = transport.channels[Lane.INTERACTIVE], transport.channels[Lane.BATCH]
        assert [people.qos.can_consume(), people.qos.can_consume()] == [False, False]
        assert transport.later_calls == 1
        transport.turn(1)
        assert batch._in_poll
        assert people.qos.can_consume()
    finally:
        transport.close()


def test_a_server_that_has_forgotten_the_script_is_given_it_again(transport: Transport, slots: int) -> None:
    """After a restart; the connection serves the next BRPOP as before."""
    transport.pop._digest = "0" * 40
    transport.put(Lane.INTERACTIVE, slots)
    transport.turn_until_something()
    assert len(transport.messages) == slots
    transport.ledger.drop(transport.delivered()[0])
    transport.put(Lane.INTERACTIVE, 1, first=slots)
    transport.turn_until(slots + 1)
    assert len(transport.messages) == slots + 1


def test_a_connection_lost_between_the_two_trips_is_a_connection_error(transport: Transport) -> None:
    """Celery then makes a new one; kombu's own reader does the same with the BRPOP's reply."""
    channel = transport.channels[Lane.BATCH]
    transport.turn()
    take: Any = channel.handlers["BRPOP"]
    channel.client.connection.disconnect()
    channel.client.connection.connect()
    transport.raw.client_kill_filter(_id=str(id_of(channel)))
    with pytest.raises(channel.connection_errors):
        take._take(4, 0)
    assert channel.client.connection._sock is None


def id_of(channel: Any) -> int:
    """The server's name for the connection that a channel pops on."""
    channel.client.connection.send_command("CLIENT", "ID")
    return int(channel.client.connection.read_response())


def test_the_connection_of_a_pop_is_idle_once_its_reply_was_read(transport: Transport) -> None:
    """What `takes.py` asks on it cannot meet another answer: `_in_poll` is none until the next BRPOP is sent."""
    channel, seen = transport.channels[Lane.BATCH], []
    take: Any = channel.handlers["BRPOP"]
    read_one = take._read_one

    def reading() -> Any:
        seen.append(channel._in_poll is channel.client.connection)
        brought = read_one()
        seen.append(channel._in_poll)
        return brought

    take._read_one = reading
    transport.put(Lane.BATCH, 1)
    transport.turn_until(1)
    assert seen[:2] == [True, None]


@pytest.mark.parametrize("slots", [2])
def test_a_pop_under_way_may_go_one_over_and_loses_nothing(transport: Transport, slots: int) -> None:
    """Batch asked while there was room; its answer comes when the slots are full, and must be taken."""
    transport.channels[Lane.BATCH].brpop_timeout = WITHIN_S  # else it is over by itself after a second
    transport.turn()
    assert transport.channels[Lane.BATCH]._in_poll
    transport.put(Lane.INTERACTIVE, slots)
    transport.turn_until(slots)
    transport.put(Lane.BATCH, 3)
    transport.turn_until(slots + 1)
    assert len(transport.messages) == slots + 1
    assert transport.left(Lane.BATCH) == 2


@pytest.mark.parametrize("slots", [1])
def test_nothing_is_asked_for_while_there_is_no_room(transport: Transport) -> None:
    """`can_consume` is asked before every BRPOP, and `_in_poll` says whether one is under way."""
    transport.ledger.add("elsewhere", Lane.BATCH)
    transport.put(Lane.INTERACTIVE, 1)
    transport.turn()
    assert not any(channel._in_poll for channel in transport.channels.values())
    assert transport.messages == []
    transport.ledger.drop("elsewhere")
    transport.turn_until(1)
    assert len(transport.messages) == 1


def test_hints_of_one_tag_would_be_counted_as_one(transport: Transport, slots: int) -> None:
    """Why every hint has an id of its own: the ledger, as kombu's own count, keys on the tag."""
    queue = transport.prefix + queue_name(Lane.BATCH, MODEL)
    transport.raw.lpush(queue, *[make_envelope_of("job_same.1.1", Lane.BATCH)] * 20)
    transport.turn_until(20)
    assert len(transport.messages) > slots
    assert transport.ledger.held().total == 1


def test_acknowledging_and_rejecting_reach_the_ledger(transport: Transport) -> None:
    transport.put(Lane.INTERACTIVE, 2)
    transport.turn_until(2)
    first, second = transport.messages
    first.ack()
    assert transport.ledger.held().total == 1
    second.reject(requeue=False)
    assert transport.ledger.held().total == 0
    assert transport.left(Lane.INTERACTIVE) == 0


def test_requeueing_pushes_nothing_back(transport: Transport) -> None:
    """The record is the truth; `mend` publishes again what must be."""
    transport.put(Lane.INTERACTIVE, 1)
    transport.turn_until(1)
    transport.messages[0].reject(requeue=True)
    transport.turn(5)
    assert transport.left(Lane.INTERACTIVE) == 0


def test_closing_with_hints_in_hand_restores_and_pickles_nothing(
    transport: Transport, slots: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """kombu would push them back, and failing that write a pickle into the temp folder."""
    temp = tmp_path / "temp"
    temp.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temp))
    transport.put(Lane.INTERACTIVE, slots)
    transport.turn_until(slots)
    for channel in transport.channels.values():
        channel.close()
    assert transport.left(Lane.INTERACTIVE) == 0
    assert transport.ledger.held().total == slots, "what runs still runs"
    assert list(temp.iterdir()) == []


def test_no_bookkeeping_keys_are_written(transport: Transport) -> None:
    """`ack_emulation: False` holds: no `unacked` hash and index, which cost two round trips a job."""
    transport.put(Lane.BATCH, 3)
    transport.turn_until(3)
    transport.messages[0].ack()
    names = [str(key).removeprefix(transport.prefix) for key in transport.raw.scan_iter(match=f"{transport.prefix}*")]
    assert [name for name in names if "unacked" in name] == []


def test_a_channel_hands_its_qos_out_as_it_was_set(transport: Transport) -> None:
    for channel in transport.channels.values():
        assert channel.qos is channel._qos
        assert isinstance(channel.qos, LaneQoS)


@pytest.mark.parametrize(
    ("name", "takes"),
    [
        ("can_consume", []),
        ("append", ["message", "delivery_tag"]),
        ("ack", ["delivery_tag"]),
        ("reject", ["delivery_tag", "requeue"]),
        ("restore_unacked_once", ["stderr"]),
    ],
)
def test_kombu_calls_what_we_answer(name: str, takes: list[str]) -> None:
    """A renamed method would leave kombu's own in place, which counts by connection and restores."""
    for owner in (QoS, LaneQoS):
        assert list(inspect.signature(getattr(owner, name)).parameters)[1:] == takes


def test_the_fields_we_touch_are_there() -> None:
    assert kombu_redis.Channel._in_poll is False
    assert kombu_redis.Channel.do_restore is True
    assert kombu_redis.Channel.ack_emulation is True
    assert "_qos" in inspect.getsource(kombu_redis.Channel.__mro__[1].__init__)
    assert "self.brpop_timeout" in inspect.getsource(kombu_redis.Channel._brpop_start)
    assert "handlers[type]()" in inspect.getsource(kombu_redis.MultiChannelPoller.on_readable)
    assert list(inspect.signature(kombu_redis.Transport._deliver).parameters) == ["self", "message", "queue"]


def test_the_timers_that_find_nothing_to_do_are_there_and_stopped(transport: Transport) -> None:
    """A new connection starts them anew; the others of the transport, which see lost connections, go on."""
    cycle = transport.connection.transport.cycle
    stop_idle_timers(cycle)
    assert [getattr(cycle, name).canceled for name in IDLE_TIMERS] == [True, True]
    assert not cycle._brpop_health_tref.canceled
    assert not cycle._subclient_health_tref.canceled
    assert [list(channel._expires) for channel in transport.channels.values()] == [[], []]


def test_a_callback_from_another_thread_wakes_the_hub() -> None:
    """An idle hub waits in its poll; without the wake-up a finished job would wait for the next second."""
    hub = Hub()
    try:
        timer = hub.call_later(2 * WITHIN_S, lambda: None)
        loop, ran = hub.create_loop(), threading.Event()
        asleep = threading.Event()
        hub.on_tick.add(asleep.set)  # the last thing before the poll

        def call() -> None:
            asleep.wait(WITHIN_S)
            hub.call_soon(ran.set)

        caller = threading.Thread(target=call)
        caller.start()
        begin_s = time.monotonic()
        next(loop)
        assert time.monotonic() - begin_s < WITHIN_S, "it slept through the call"
        caller.join()
        next(loop)
        assert ran.is_set()
        timer.cancel()
    finally:
        hub.close()
    assert "_wake_pending" in inspect.getsource(Hub.call_soon), "kombu before 5.7 has no wake-up"


def test_buffered_events_ask_for_their_flush_and_wait_for_it(settings: Settings) -> None:
    """`on_send_buffered` may be replaced after the dispatcher is made, and is the only thing that flushes below 24."""
    app = make_app(settings, broker_url="memory://")
    with app.connection_for_write() as connection:
        dispatcher = app.events.Dispatcher(connection, buffer_group=["task"], on_send_buffered=None)
        asked: list[int] = []
        dispatcher.on_send_buffered = lambda: asked.append(1)
        for n in range(5):
            dispatcher.send("task-received", uuid=f"job_{n}.1.1", name="viiwork.run")
        assert len(asked) == 5
        assert len(dispatcher._group_buffer["task"]) == 5
        dispatcher.flush()
        assert not dispatcher._group_buffer["task"]
        dispatcher.disable()
