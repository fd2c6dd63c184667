"""From an engine that was given up to the quarantine of its worker, and back when a person lifts it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from viiwork.errors import StoreUnavailable
from viiwork.roster import WorkerCard
from viiwork.store import Store
from viiwork.store.leases import Claim
from viiwork.store.upkeep import Upkeep
from viiwork.work import Answer, EngineWork, JobInput
from viiwork_workers.commits import Retries
from viiwork_workers.engines.base import PLAIN, EngineFacts, Manner, Signals
from viiwork_workers.execute import Executor
from viiwork_workers.failed_engine import PATIENCE, FailedEngine
from viiwork_workers.governor import Governor
from viiwork_workers.ledger import Ledger
from viiwork_workers.loopthread import LoopThread
from viiwork_workers.outcome import Product
from viiwork_workers.station import Station

NAME = "gpu0@here"
CARD = WorkerCard(name=NAME, incarnation="gpu0-1", host="h", pid=1, engine="fragile", model="m", slots=4)
GONE = Signals(ready=False, state="failed", failed="Its model was not found. Look at engine.model.", restarts=3)


class Fragile:
    """An engine that says what it was told to say, and counts how often it is told to try again."""

    def __init__(self, said: Signals) -> None:
        self.facts = EngineFacts(name="fragile", model="m", slots=4, context_tokens=1, tokenizer="")
        self.said = said
        self.tries = 0
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
        self.tries += 1

    async def close(self) -> None:
        """Nothing."""


@pytest.fixture
def station(fake_store: Store) -> Iterator[Station]:
    thread = LoopThread("test")

    async def run(claim: Claim, work: JobInput) -> Product:
        raise AssertionError

    executor = Executor(fake_store, run, card=CARD, retries=Retries())
    yield Station(thread, executor, card=CARD, ledger=Ledger(4))
    thread.close()


async def watched(store: Store, engine: Fragile) -> FailedEngine:
    """It was seen before it failed."""
    failed, said = FailedEngine(engine, store, worker=NAME), engine.said
    engine.said = Signals(ready=False, state="starting")
    await failed.look()
    engine.said = said
    return failed


async def test_a_worker_is_quarantined_for_its_engines_failure_and_the_engine_tries_again_once_it_is_lifted(
    fake_store: Store,
) -> None:
    """Once for each lift, however often it is looked at."""
    engine = Fragile(GONE)
    failed = await watched(fake_store, engine)
    for _ in range(3):
        await failed.look()
        assert await fake_store.quarantined() == {NAME: GONE.failed}
    assert engine.tries == 0
    await fake_store.lift_quarantine(NAME)
    for _ in range(3):
        await failed.look()
    assert (engine.tries, await fake_store.quarantined()) == (1, {})
    engine.said = Signals()
    await failed.look()
    assert (engine.tries, await fake_store.quarantined()) == (1, {})


async def test_an_engine_that_fails_again_puts_its_worker_away_again(fake_store: Store) -> None:
    """Also when it failed so quickly that nobody saw it try."""
    engine = Fragile(GONE)
    failed = await watched(fake_store, engine)
    await failed.look()
    await fake_store.lift_quarantine()
    await failed.look()
    engine.said = Signals(ready=False, failed=GONE.failed, restarts=GONE.restarts + 1)
    await failed.look()
    assert await fake_store.quarantined() == {NAME: GONE.failed}
    await fake_store.lift_quarantine()
    await failed.look()
    assert engine.tries == 2


async def test_a_try_that_nobody_heard_of_ends_in_the_quarantine(fake_store: Store) -> None:
    """The engine says the old as before: nothing must look as if it could take jobs."""
    engine = Fragile(GONE)
    failed = await watched(fake_store, engine)
    await failed.look()
    await fake_store.lift_quarantine()
    for _ in range(PATIENCE + 2):
        await failed.look()
    assert (engine.tries, await fake_store.quarantined()) == (1, {NAME: GONE.failed})


async def test_a_store_that_is_silent_is_asked_again(fake_store: Store) -> None:
    class Silent(Store):
        async def quarantine(self, worker: str, why: str) -> None:
            raise StoreUnavailable("Redis does not answer.")

    silent = object.__new__(Silent)
    silent.__dict__.update(fake_store.__dict__)
    failed = await watched(silent, Fragile(GONE))
    await failed.look()
    failed._store = fake_store
    await failed.look()
    assert await fake_store.quarantined() == {NAME: GONE.failed}


async def test_the_last_worker_of_its_model_is_put_away_too_and_its_beats_are_told(fake_store: Store) -> None:
    """There is nothing to serve with; the next life of the worker hears it as well."""
    await (await watched(fake_store, Fragile(GONE))).look()
    for life in ("gpu0-1", "gpu0-2"):
        upkeep = Upkeep(fake_store, lease_ttl_s=1, hint_grace_s=1)
        await upkeep.beat(CARD.model_copy(update={"incarnation": life}), queues=["batch.m"], in_flight={}, held=[])
        assert upkeep.quarantined == GONE.failed


async def test_a_worker_that_finds_its_engine_given_up_leaves_that_as_it_was(fake_store: Store) -> None:
    """Its life before told of it: quarantined it stays so, and if a person has lifted that, the engine tries."""
    engine = Fragile(GONE)
    await fake_store.quarantine(NAME, GONE.failed)
    failed = FailedEngine(engine, fake_store, worker=NAME)
    for _ in range(3):
        await failed.look()
    assert (engine.tries, list(await fake_store.quarantined())) == (0, [NAME])
    await fake_store.lift_quarantine(NAME)
    await FailedEngine(engine, fake_store, worker=NAME).look()
    assert (engine.tries, await fake_store.quarantined()) == (1, {})


async def test_a_healthy_engine_does_not_end_a_quarantine(fake_store: Store) -> None:
    """What other cards found out about this one is not the engine's to say."""
    await fake_store.quarantine(NAME, "It died under 2 jobs that succeeded on other workers.")
    engine = Fragile(Signals())
    await FailedEngine(engine, fake_store, worker=NAME).look()
    assert list(await fake_store.quarantined()) == [NAME]


async def test_the_governor_sees_an_engine_fail_while_it_waits_for_it(station: Station) -> None:
    """An engine that loads for minutes may be given up meanwhile."""
    engine = Fragile(Signals(ready=False, state="loading (1 s)"))
    governing = asyncio.ensure_future(Governor(engine, station).govern())
    await asyncio.sleep(0)
    engine.said = GONE
    store = station.executor.store
    while not await store.quarantined():
        await asyncio.sleep(0.02)
    assert station.ledger.limit == 0
    assert station.card_now().engine_state == "failed"
    await store.lift_quarantine()
    while not engine.tries:
        await asyncio.sleep(0.02)
    engine.said = Signals()
    engine.ready.set()
    while not station.ledger.limit:
        await asyncio.sleep(0.02)
    governing.cancel()
