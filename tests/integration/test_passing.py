"""A worker that holds more than its share hands a hint on, once, to the next in line."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
import redis

from tests.hands import Hands
from tests.workers import Fleet, eventually, make_job, ready
from viiwork.jobs import Lane
from viiwork.queues import queue_name
from viiwork.settings import Settings
from viiwork.store import Store
from viiwork_workers.hub_script import HubScript
from viiwork_workers.ledger import Ledger
from viiwork_workers.passing import AGAIN_S, ALONE_S, IN_LINE_S, ROUND_S, Memory, Passing

QUEUES = {lane: queue_name(lane, "noop") for lane in Lane}
BATCH = QUEUES[Lane.BATCH]


async def crew(store: Store, *slots: int) -> list[Hands]:
    """So many workers of one model, each with its slots."""
    hands = [Hands(store, f"gpu{number}", slots=count) for number, count in enumerate(slots)]
    for worker in hands:
        await worker.beat()
    return hands


async def pop_raw(store: Store) -> str:
    raw: Any = await store.client.rpop(f"{store.prefix}{BATCH}")
    return str(raw)


async def pass_on(store: Store, hint: str, *, held: int, room: int = 2, slots: int = 4, rival: str = "") -> str:
    return str(await store.call("pass_on", BATCH, hint, held, room, slots, rival, *QUEUES.values()))


@pytest.mark.parametrize(("held", "answer"), [(0, "kept"), (1, "kept"), (2, "passed"), (4, "passed")])
async def test_a_hint_goes_on_from_who_holds_more_than_the_mean(store: Store, held: int, answer: str) -> None:
    """Two workers of 4 slots run 3 jobs, 1.5 each; a fourth comes."""
    first, second = await crew(store, 4, 4)
    await store.submit([make_job() for _ in range(3)])
    for worker in (first, first, second):
        await worker.take()
    await store.submit([make_job()])
    hint = await pop_raw(store)
    assert await pass_on(store, hint, held=held) == answer
    assert await store.client.lrange(f"{store.prefix}{BATCH}", 0, -1) == ([hint] if answer == "passed" else [])


async def test_the_share_goes_by_slots(store: Store) -> None:
    """Of 4 jobs a worker with 12 of 16 slots should hold 3, its neighbour 1."""
    large, small = await crew(store, 12, 4)
    await store.submit([make_job() for _ in range(4)])
    for worker in (large, large, large, small):
        await worker.take()
    await store.submit([make_job()])
    hint = await pop_raw(store)
    assert await pass_on(store, hint, held=3, slots=12) == "kept"
    assert await pass_on(store, hint, held=2, slots=4) == "passed"


async def test_both_lanes_count(store: Store) -> None:
    """They share the slots: a worker full of people's jobs should get no batch job either."""
    first, second = await crew(store, 4, 4)
    await store.submit([make_job(lane=Lane.INTERACTIVE) for _ in range(2)])
    await first.take(Lane.INTERACTIVE)
    await second.take(Lane.INTERACTIVE)
    await store.submit([make_job()])
    hint = await pop_raw(store)
    assert await pass_on(store, hint, held=1) == "kept"
    assert await pass_on(store, hint, held=2) == "passed"


async def test_nothing_is_passed_on_while_hints_lie_ready(store: Store) -> None:
    """Nobody stands in line then."""
    await crew(store, 4, 4)
    await store.submit([make_job(), make_job()])
    assert await pass_on(store, await pop_raw(store), held=4) == "kept"


async def test_who_is_full_gives_a_hint_back_whoever_else_there_is(store: Store) -> None:
    """Alone, with hints lying ready: it is the next to be popped again."""
    await crew(store, 4)
    jobs = [make_job(), make_job()]
    await store.submit(jobs)
    first = await pop_raw(store)
    assert await pass_on(store, first, held=4, room=0) == "passed"
    assert await pop_raw(store) == first


async def test_who_is_alone_passes_nothing_on(store: Store) -> None:
    await crew(store, 4)
    await store.submit([make_job()])
    assert await pass_on(store, await pop_raw(store), held=4) == "alone"


@pytest.mark.parametrize(("people", "answer"), [(0, "alone"), (1, "passed")])
async def test_the_last_slot_is_left_to_the_lane_that_it_belongs_to(store: Store, people: int, answer: str) -> None:
    """Only while something waits there: released, whether or not it has been popped yet."""
    await crew(store, 4)
    await store.submit([make_job(), *(make_job(lane=Lane.INTERACTIVE) for _ in range(people))])
    hint = await pop_raw(store)
    assert await pass_on(store, hint, held=3, room=1, rival=QUEUES[Lane.INTERACTIVE]) == answer


def test_a_hint_that_comes_back_at_once_is_taken() -> None:
    """It went all the way round, or nobody else may take it: it must not circle for ever."""
    memory = Memory()
    assert not memory.has_just_passed(b"hint", now_s=0.0)
    memory.learn(b"hint", "passed", now_s=0.0)
    assert memory.has_just_passed(b"hint", now_s=ROUND_S / 2)
    assert not memory.has_just_passed(b"another", now_s=ROUND_S / 2)
    assert not memory.has_just_passed(b"hint", now_s=ROUND_S)


def test_nobody_is_asked_without_need() -> None:
    """An empty worker keeps what it gets, hints that lay ready are kept, and who is alone asks once a while."""
    memory = Memory()
    assert memory.may_share(held=1, waited_s=1.0, now_s=0.0)
    assert not memory.may_share(held=0, waited_s=1.0, now_s=0.0)
    assert not memory.may_share(held=1, waited_s=IN_LINE_S / 2, now_s=0.0)
    memory.learn(b"hint", "alone", now_s=0.0)
    assert not memory.may_share(held=1, waited_s=1.0, now_s=ALONE_S / 2)
    assert memory.may_share(held=1, waited_s=1.0, now_s=ALONE_S)


class Line:
    """A channel as far as passing on sees it: its client, and since when its BRPOP waits."""

    def __init__(self, client: Any, ledger: Ledger) -> None:
        self.client = client
        self.ledger = ledger
        self._brpop_sent_at = 0.0


class Popped:
    """A client whose BRPOP has brought one hint."""

    def __init__(self, hint: bytes) -> None:
        self._hint = hint

    def parse_response(self, connection: Any, command_name: str, **_: Any) -> Any:
        return [BATCH.encode(), self._hint]


@pytest.fixture
def connection(settings: Settings) -> Any:
    """One of redis-py's, as kombu holds it."""
    pool = redis.ConnectionPool.from_url(settings.redis.url)
    made = pool.get_connection()
    yield made
    pool.disconnect()


async def passing(real_store: Store, settings: Settings, hint: bytes, *, held: int, limit: int = 4) -> Line:
    await crew(real_store, 4, 4)
    ledger = Ledger(4)
    for number in range(held):
        ledger.add(f"h{number}", Lane.BATCH)
    ledger.limit = limit
    line = Line(Popped(hint), ledger)
    script = HubScript("pass_on", prefix=settings.prefix)
    Passing(line, script=script, lane=Lane.BATCH, queues=QUEUES, ledger=ledger).install()
    return line


async def test_a_hint_that_is_passed_on_looks_like_an_empty_pop(
    real_store: Store, settings: Settings, connection: Any
) -> None:
    """The next time round it is taken."""
    line = await passing(real_store, settings, b"hint", held=2)
    assert line.client.parse_response(connection, "BRPOP") is None
    assert await pop_raw(real_store) == "hint"
    assert line.client.parse_response(connection, "BRPOP") == [BATCH.encode(), b"hint"]


@pytest.mark.parametrize("limit", [0, 2])
async def test_a_worker_without_room_gives_the_same_hint_back_each_time(
    real_store: Store, settings: Settings, connection: Any, limit: int
) -> None:
    """Also when its limit was lowered while its BRPOP waited; with room again it takes the hint."""
    line = await passing(real_store, settings, b"hint", held=limit, limit=limit)
    for _ in range(2):
        assert line.client.parse_response(connection, "BRPOP") is None
        assert await pop_raw(real_store) == "hint"
    line.ledger.limit = 4
    line.ledger.drop("h0")
    line.ledger.drop("h1")
    assert line.client.parse_response(connection, "BRPOP") == [BATCH.encode(), b"hint"]


async def test_a_lane_that_was_closed_while_its_pop_waited_gives_the_hint_back(
    real_store: Store, settings: Settings, connection: Any
) -> None:
    """However much room there is."""
    line = await passing(real_store, settings, b"hint", held=0)
    line.ledger.closed = frozenset({Lane.BATCH})
    assert line.client.parse_response(connection, "BRPOP") is None
    assert await pop_raw(real_store) == "hint"
    line.ledger.closed = frozenset()
    assert line.client.parse_response(connection, "BRPOP") == [BATCH.encode(), b"hint"]


async def test_a_hint_is_kept_when_the_server_does_not_answer(
    real_store: Store, settings: Settings, connection: Any
) -> None:
    """The hub will find the broken connection when it asks for more."""
    line = await passing(real_store, settings, b"hint", held=2)
    connection.disconnect()
    connection.port, connection.path, connection.retry = 1, "/nowhere", redis.retry.Retry(redis.backoff.NoBackoff(), 0)
    assert line.client.parse_response(connection, "BRPOP") == [BATCH.encode(), b"hint"]


async def test_real_workers_even_out(fleet: Fleet, settings: Settings, real_store: Store) -> None:
    """Jobs that come one by one and never end: four workers of 4 slots hold the same number of them."""
    engine = settings.engine.model_copy(update={"slots": 4})
    queue = settings.queue.model_copy(update={"drain_grace_s": 0.0})
    changed = settings.model_copy(update={"engine": engine, "queue": queue})
    fleet.start("gpu0", "gpu1", "gpu2", "gpu3", settings=changed)
    await ready(real_store, 4)
    for count in range(1, 9):
        await real_store.submit([make_job(text="pause 60 s", lane=Lane.INTERACTIVE)])
        await _running(real_store, count)
    assert sorted(await _held(real_store)) == [2, 2, 2, 2]


async def test_a_single_slot_is_never_held_twice_and_batch_gets_every_eighth_start(
    fleet: Fleet, settings: Settings, real_store: Store
) -> None:
    """Both lanes wait, each with a BRPOP of its own on the one slot."""
    jobs = [make_job(text="pause 0.03 s", lane=lane) for lane in [Lane.INTERACTIVE] * 16 + [Lane.BATCH] * 3]
    await real_store.submit(jobs)
    engine = settings.engine.model_copy(update={"slots": 1})
    fleet.start("gpu0", settings=settings.model_copy(update={"engine": engine}))

    async def done() -> bool:
        return all([(await real_store.job(job.id)).state == "succeeded" for job in jobs])

    await eventually(done, what="all jobs")
    ran = [(await real_store.job(job.id), job.lane) for job in jobs]
    spans = sorted((status.started_ms or 0, status.finished_ms or 0, lane) for status, lane in ran)
    assert all(finished <= begun for (_, finished, _), (begun, _, _) in pairwise(spans)), "two at once"
    assert [at for at, (_, _, lane) in enumerate(spans) if lane is Lane.BATCH] == [7, 15, 18]


def test_a_slot_is_left_to_the_other_lane_only_while_that_takes_it() -> None:
    """The same hint comes back at once, again and again, when the hints of the other lane have vanished."""
    memory = Memory()
    times = [n * AGAIN_S / 2 for n in range(20)]
    assert [memory.may_leave(b"hint", now_s=now) for now in times] == [now < ROUND_S for now in times]
    assert memory.may_leave(b"hint", now_s=times[-1] + 2 * AGAIN_S), "for another slot"


async def _running(store: Store, count: int) -> None:
    async def reached() -> bool:
        return sum(await _held(store)) == count

    await eventually(reached, what=f"{count} jobs running")


async def _held(store: Store) -> list[int]:
    """How many jobs each worker runs."""
    workers = (await store.fleet()).workers
    return await store.read([("ZCARD", f"{store.prefix}inc:{worker.card.incarnation}:running") for worker in workers])
