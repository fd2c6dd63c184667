"""The store on a server of its own, which may be filled up, restarted and made to forget its scripts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import fakeredis
import pytest

from tests.conftest import remove_keys
from tests.hands import Hands, depths, document, open_batch, parts_of, recount, sealed_batch, state, upkeep
from tests.workers import make_job
from viiwork.errors import StoreUnavailable
from viiwork.jobs import Lane, State
from viiwork.settings import load_settings
from viiwork.store import Store, embedded, open_store
from viiwork.store.embedded import RunningServer
from viiwork.store.leases import Claim, Verdict, claim_call, read_claim
from viiwork.store.opening import make_store
from viiwork.store.scripts import Call


@pytest.fixture(scope="module")
def own_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """Nobody else's: these tests change its settings and forget its scripts."""
    settings = load_settings({"fleet": {"state_dir": str(tmp_path_factory.mktemp("own"))}})
    server = embedded.start(settings)
    yield server
    server.stop()


@pytest.fixture
async def own_store(own_server: RunningServer, tmp_path: Path) -> AsyncIterator[Store]:
    settings = load_settings(
        {"fleet": {"name": "own", "state_dir": str(tmp_path)}, "redis": {"url": own_server.url, "prefix": "own:"}}
    )
    store = await open_store(settings)
    yield store
    await store.client.config_set("maxmemory", 0)
    await remove_keys(store)
    await store.close()


async def fill(store: Store) -> None:
    """From now on the server has no room for anything new."""
    used = (await store.client.info("memory"))["used_memory"]
    await store.client.config_set("maxmemory", used // 2)


async def live(store: Store) -> None:
    """A little of everything that a store is asked to do."""
    hands, reader = Hands(store), Hands(store, "reader0", model="read")
    await store.admit(tenant="anna@lab", key="k", fingerprint="f", id="an_1")
    batch = await open_batch(store)
    await store.submit([document(batch), make_job(), make_job(lane=Lane.INTERACTIVE)])
    await store.seal(batch)
    await hands.beat()
    fence = (await reader.take()).fence
    await store.submit(parts_of(fence.job, batch, 2), fence=fence)
    await reader.commit(fence, Verdict.CONTINUES)
    await hands.do(Verdict.RETRY)
    await hands.do_all()
    await upkeep(store).take_lock(owner="me", for_ms=1000)
    await upkeep(store).mend()
    await reader.do_all()
    await store.set_closing(True)
    await upkeep(store).sweep()


async def test_every_key_carries_the_fleets_prefix(own_store: Store) -> None:
    """Several fleets, and strangers, share one Redis."""
    await live(own_store)
    names = [str(key) async for key in own_store.client.scan_iter(count=1000)]
    assert len(names) > 10
    assert [name for name in names if not name.startswith("own:")] == []


async def test_fleets_on_one_server_know_nothing_of_each_other(own_store: Store, own_server: RunningServer) -> None:
    settings = load_settings({"fleet": {"name": "owner"}, "redis": {"url": own_server.url, "prefix": "own2:"}})
    other = make_store(settings, own_server.url)
    job = make_job()
    await own_store.submit([job])
    assert await Hands(other).pop() is None
    assert (await other.fleet()).queues == ()
    assert await other.submit([job]) == 1
    await other.cancel(job.id)
    assert await state(own_store, job.id) is State.QUEUED
    await remove_keys(other)
    await other.close()


async def forget_scripts(store: Store) -> None:
    await store.client.script_flush()


async def test_a_server_that_forgot_its_scripts_is_taught_them_again(own_store: Store) -> None:
    """As after a restart: single calls and pipelines alike, and nothing is done twice."""
    await forget_scripts(own_store)
    job = make_job()
    assert await own_store.submit([job]) == 1
    hands = Hands(own_store)
    hint = await hands.pop()
    assert hint is not None
    await forget_scripts(own_store)
    claim = claim_call(job=job.id, attempt=1, token="t", card=hands.card)
    release = Call("release", (own_store.envelope, 1000, "batch.noop"))
    replies = await own_store.call_many([claim, claim, release])
    first, again = (read_claim(reply, job=job.id, token="t") for reply in replies[:2])
    assert isinstance(first, Claim)
    assert isinstance(again, Claim)
    assert again.fence == first.fence
    assert replies[2] == [0, 0]
    await forget_scripts(own_store)
    assert await hands.commit(first.fence) == ("ok", "succeeded")


async def test_the_double_forgets_and_learns_scripts_alike(fake_store: Store) -> None:
    assert isinstance(fake_store.client, fakeredis.FakeAsyncRedis)
    await forget_scripts(fake_store)
    assert await fake_store.submit([make_job()]) == 1
    await forget_scripts(fake_store)
    assert await fake_store.call_many([Call("release", (fake_store.envelope, 9, "batch.noop"))]) == [[0, 0]]


async def test_a_script_that_fails_fails_alone(own_store: Store) -> None:
    """In a pipeline each call has its own answer or its own error."""
    good = Call("release", (own_store.envelope, 1000, "batch.noop"))
    bad = Call("open", ("an_x", "odd number of fields"))
    first, broken, last = await own_store.call_many([good, bad, good])
    assert first == last == [0, 0]
    assert isinstance(broken, StoreUnavailable)


async def test_a_full_server_takes_no_new_work_and_says_what_to_do(own_store: Store) -> None:
    await own_store.submit([make_job()])
    await fill(own_store)
    with pytest.raises(StoreUnavailable, match="full") as caught:
        await own_store.submit([make_job()])
    assert "redis.max_memory_bytes" in caught.value.hint
    with pytest.raises(StoreUnavailable, match="full"):
        await own_store.admit(tenant="anna@lab", key="k", fingerprint="f", id="an_1")
    with pytest.raises(StoreUnavailable, match="full"):
        await open_batch(own_store)
    assert await depths(own_store) == await recount(own_store) == {"batch.noop|queued": 1}


async def test_a_full_server_finishes_what_it_has(own_store: Store) -> None:
    """Claim, commit, give back, release, cancel, beat, reap, mend and clearing away all pass; nothing is lost."""
    hands, silent = Hands(own_store), Hands(own_store, "gpu1")
    batch = await sealed_batch(own_store, 8)
    other = await sealed_batch(own_store, 3)
    taken = await hands.take()
    await fill(own_store)

    assert await hands.commit(taken.fence) == ("ok", "succeeded")
    assert await own_store.release("batch.noop") == 1
    await hands.do(Verdict.RETRY)
    await hands.do(Verdict.GIVE_BACK)
    assert await silent.beat((await silent.take()).fence) == {}
    assert await upkeep(own_store).reap(silent.card.incarnation) == 1
    await own_store.release("batch.noop")
    await hands.pop()
    assert await upkeep(own_store).mend() == 1
    assert await upkeep(own_store).take_lock(owner="me", for_ms=1000)
    await own_store.set_closing(True)
    assert (await own_store.fleet()).closing
    assert (await own_store.cancel_batch(other)).counts.cancelled > 0
    assert await own_store.cancel(f"{batch}-7") is State.CANCELLED
    await hands.do_all()
    status = await own_store.batch(batch)
    assert (status.finished, status.counts.succeeded, status.counts.cancelled) == (True, 7, 1)
    await upkeep(own_store).sweep()
    assert await depths(own_store) == await recount(own_store) == {}


async def test_a_full_server_still_cancels_an_upload_and_seals_one(own_store: Store) -> None:
    first, second = await open_batch(own_store), await open_batch(own_store)
    await fill(own_store)
    await own_store.seal(first)
    assert (await own_store.batch(first)).finished
    assert (await own_store.cancel_batch(second)).finished


async def test_work_is_taken_again_when_there_is_room(own_store: Store) -> None:
    await fill(own_store)
    job = make_job()
    with pytest.raises(StoreUnavailable):
        await own_store.submit([job])
    await own_store.client.config_set("maxmemory", 0)
    assert await own_store.submit([job]) == 1


async def test_calls_of_many_tasks_share_one_store(own_store: Store) -> None:
    """The connection pool serves them all; none gets another's answer."""
    jobs = [make_job(custom_id=str(n)) for n in range(60)]
    await asyncio.gather(*(own_store.submit([job]) for job in jobs))
    found = await asyncio.gather(*(own_store.job(job.id) for job in jobs))
    assert [status.custom_id for status in found] == [str(n) for n in range(60)]
    assert await depths(own_store) == await recount(own_store)
