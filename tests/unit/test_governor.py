"""The governor: from what the engine says to what its worker takes."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from viiwork.devices import Device, Reading
from viiwork.devices import State as CardState
from viiwork.devices.base import Temperature
from viiwork.jobs import Lane
from viiwork.power.standing import Standing
from viiwork.roster import WorkerCard
from viiwork.store import Fence, Store
from viiwork.store.leases import Claim
from viiwork.work import Answer, EngineWork, JobInput
from viiwork_workers.boot import govern
from viiwork_workers.commits import Retries
from viiwork_workers.engines.base import PLAIN, EngineFacts, Manner, Signals
from viiwork_workers.execute import Executor
from viiwork_workers.governor import Governor
from viiwork_workers.ledger import Ledger
from viiwork_workers.loopthread import LoopThread
from viiwork_workers.outcome import Product
from viiwork_workers.station import Station

SLOTS = 8


class Told:
    """An engine that says what it was told to say."""

    def __init__(self, said: Signals | None) -> None:
        self.facts = EngineFacts(name="told", model="m", slots=SLOTS, context_tokens=1, tokenizer="")
        self.said = said
        self.ready = asyncio.Event()

    async def load(self) -> None:
        """Nothing."""

    async def run(self, work: EngineWork, manner: Manner = PLAIN) -> Answer:
        raise AssertionError

    def signals(self) -> Signals | None:
        return self.said

    async def until_ready(self) -> None:
        await self.ready.wait()

    def again(self) -> None:
        """Nothing."""

    async def close(self) -> None:
        """Nothing."""


@pytest.fixture
def thread() -> Iterator[LoopThread]:
    thread = LoopThread("test")
    yield thread
    thread.close()


@pytest.fixture
def station(fake_store: Store, thread: LoopThread) -> Station:
    card = WorkerCard(name="gpu0@here", incarnation="gpu0-1", host="h", pid=1, engine="told", model="m", slots=SLOTS)

    async def run(claim: Claim, work: JobInput) -> Product:
        raise AssertionError

    executor = Executor(fake_store, run, card=card, retries=Retries())
    return Station(thread, executor, card=card, ledger=Ledger(SLOTS))


def test_an_engine_that_says_nothing_gets_all_its_slots(station: Station) -> None:
    governor = Governor(Told(None), station)
    governor.look()
    assert station.ledger.limit == SLOTS
    assert station.card_now().limit == SLOTS
    assert station.facts()["limit"] == SLOTS
    assert "engine_state" not in station.facts()


def test_a_crowded_engine_gets_fewer_and_a_calm_one_more_again(station: Station) -> None:
    engine = Told(Signals(running=SLOTS, kv_use=0.99, preemptions=4, pid=77))
    governor = Governor(engine, station)
    governor.look()
    assert station.ledger.limit == 5
    engine.said = Signals(running=5, kv_use=0.6, preemptions=4)
    governor.look()
    assert station.ledger.limit == 6, "preemptions of before are no new ones"


def test_preemptions_count_anew_when_the_engine_was_started_again(station: Station) -> None:
    engine = Told(Signals(running=1, preemptions=100))
    governor = Governor(engine, station)
    governor.look()
    engine.said = Signals(running=1, preemptions=2)
    before = station.ledger.limit
    governor.look()
    assert station.ledger.limit <= before


def test_nothing_is_taken_while_the_engine_is_started_again_and_as_much_as_before_afterwards(station: Station) -> None:
    """What was held stays held, and people see why nothing moves."""
    engine = Told(Signals(running=SLOTS, preemptions=1))
    governor = Governor(engine, station)
    station.ledger.add("hint", Lane.BATCH)
    governor.look()
    limit = station.ledger.limit
    engine.said = Signals(ready=False, state="restarting (3 deaths)", restarts=2)
    station.executor.on_engine_lost()
    assert station.ledger.limit == 0
    assert station.ledger.held().total == 1
    assert station.facts()["engine_state"] == "restarting (3 deaths)"
    card = station.card_now()
    assert (card.limit, card.engine_state, card.engine_restarts, card.engine_pid) == (0, "restarting (3 deaths)", 2, 0)
    engine.said = Signals(restarts=3, pid=78)
    governor.heed()
    assert station.ledger.limit == limit
    assert station.card_now().engine_pid == 78


def test_beats_tell_what_the_engine_says_of_itself_and_why_the_worker_is_held_back(station: Station) -> None:
    """What it does not say is not known, and no 0."""
    engine = Told(Signals(running=1))
    governor = Governor(engine, station)
    governor.look()
    card = station.card_now()
    assert (card.kv_use, card.tokens_per_s, card.throttle, card.cards) == (None, None, "", ())
    engine.said = Signals(running=1, kv_use=0.25)
    governor.look()
    station.note_throttle("junction at 97 °C")
    card = station.card_now()
    assert (card.kv_use, card.throttle) == (0.25, "junction at 97 °C")


def test_jobs_that_fail_at_once_lower_the_limit(station: Station) -> None:
    governor = Governor(Told(Signals()), station)
    station.executor.quick_faults = 3
    governor.look()
    assert station.ledger.limit < SLOTS
    lowered = station.ledger.limit
    governor.look()
    assert station.ledger.limit == lowered + 1, "each counts once"


def test_a_quarantined_worker_takes_nothing_whatever_its_engine_says(station: Station) -> None:
    governor = Governor(Told(Signals()), station)
    station.note_quarantine("It died under 2 jobs that succeeded on other workers.")
    governor.look()
    assert station.ledger.limit == 0
    assert "2 jobs" in station.facts()["quarantined"]
    station.note_quarantine("")
    assert station.ledger.limit == SLOTS


async def test_it_looks_at_once_when_the_engine_is_back(station: Station) -> None:
    """Not a second later."""
    engine = Told(Signals(ready=False, state="restarting"))
    governing = asyncio.ensure_future(Governor(engine, station).govern())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert station.ledger.limit == 0
    engine.said = Signals()
    engine.ready.set()
    for _ in range(5):
        await asyncio.sleep(0)
    assert station.ledger.limit == SLOTS
    governing.cancel()


def test_the_first_beat_says_already_that_the_engine_loads(thread: LoopThread, station: Station) -> None:
    """A card without a state is one of an engine that lives with its worker: `up` would call it ready."""
    end = govern(thread, station, Told(Signals(ready=False, state="loading (1 s)")))
    card = station.card_now()
    thread.submit(asyncio.sleep(0)).result(10)  # what was handed to the loop before has begun by then
    end()
    assert (card.engine_state, card.limit) == ("loading (1 s)", 0)


class Felt:
    """A seat whose card is as warm as it is told."""

    def __init__(self) -> None:
        self.celsius = 40.0

    def look(self) -> CardState:
        return "ok"

    def tell(self, load: float, *, vram_used_bytes: int) -> None:
        """Nothing."""

    def readings(self) -> tuple[tuple[Device, Reading], ...]:
        card = Device("GPU-1", "amd", 0, "Radeon VII", "gfx906", 16 << 30)
        return ((card, Reading("ok", temperatures=(Temperature("junction", self.celsius, 105.0),))),)


@pytest.fixture
def seat() -> Felt:
    return Felt()


@pytest.fixture
def seated(fake_store: Store, thread: LoopThread, seat: Felt) -> Station:
    card = WorkerCard(name="gpu0@here", incarnation="gpu0-1", host="h", pid=1, engine="told", model="m", slots=SLOTS)

    async def run(claim: Claim, work: JobInput) -> Product:
        raise AssertionError

    executor = Executor(fake_store, run, card=card, retries=Retries())
    return Station(thread, executor, card=card, ledger=Ledger(SLOTS), seat=seat)


def test_a_warm_card_holds_fewer_a_hot_one_none_and_people_see_why(seated: Station, seat: Felt) -> None:
    governor = Governor(Told(None), seated)
    for celsius, limit in ((40, 8), (96, 6), (102, 2), (103.5, 0), (100, 0), (96, 0), (91, 8)):
        seat.celsius = celsius
        governor.look()
        assert seated.ledger.limit == limit, celsius
        throttle = seated.card_now().throttle
        assert throttle.partition(":")[0] == ("" if limit == 8 else "hot" if limit == 0 else "warm")


async def test_what_is_beyond_the_watts_goes_back_batch_first_and_the_latest_first(station: Station) -> None:
    hands = station.executor.hands
    tasks = {}
    for number, lane in enumerate((Lane.BATCH, Lane.INTERACTIVE, Lane.BATCH, Lane.INTERACTIVE)):
        tasks[number] = asyncio.ensure_future(asyncio.Event().wait())
        hands.take(Fence(f"job{number}", 1, "t"), tasks[number], lane)  # type: ignore[arg-type] # a job that never ends
    standing = Standing(0.25, 0.25, why="power: the budget")
    governor = Governor(Told(None), station, orders=lambda: standing)
    governor.look()
    await asyncio.sleep(0)
    assert [number for number, task in tasks.items() if task.cancelled()] == [0, 2]
    assert (station.ledger.limit, station.card_now().throttle) == (2, "power: the budget")
    governor.look()
    await asyncio.sleep(0)
    assert [number for number, task in tasks.items() if task.cancelled()] == [0, 2], "those on their way count no more"
    assert hands.goes_back(Fence("job2", 1, "t"))
    assert not hands.goes_back(Fence("job1", 1, "t"))
    standing = Standing(0.125, 0.125, why="power: the budget")
    governor.look()
    await asyncio.sleep(0)
    assert [number for number, task in tasks.items() if task.cancelled()] == [0, 2, 3]
    tasks[1].cancel()


def test_a_lane_that_the_hours_close_takes_nothing_and_people_see_until_when(station: Station) -> None:
    standing = Standing(lanes=frozenset({Lane.BATCH}), opens={Lane.INTERACTIVE: "2026-11-22T07:00+01:00"})
    governor = Governor(Told(None), station, orders=lambda: standing)
    governor.look()
    assert station.ledger.closed == {Lane.INTERACTIVE}
    card = station.card_now()
    assert (card.closed, card.opens) == ((Lane.INTERACTIVE,), {Lane.INTERACTIVE: "2026-11-22T07:00+01:00"})
    standing = Standing()
    governor.look()
    assert (station.ledger.closed, station.card_now().opens) == (frozenset(), {})
