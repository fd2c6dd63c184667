"""How many suspects have not ended, of a queue and of a batch: exact on every road that a job can take."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from tests.hands import Hands, kept_for, keys, sealed_batch, state, upkeep
from tests.workers import make_job
from viiwork.jobs import Lane, State
from viiwork.settings import Settings, load_settings
from viiwork.store import Store, embedded
from viiwork.store.backup import back_up
from viiwork.store.leases import Verdict
from viiwork.store.opening import open_store
from viiwork.store.restore import restore

QUEUE = "batch.noop"
JOBS = 3


async def told(store: Store, batch: str = "") -> tuple[int, int]:
    """What the fleet says of the queue, and the batch of itself."""
    by_queue = {f"{depth.lane.value}.{depth.model}": depth.suspects for depth in (await store.fleet()).queues}
    return by_queue.get(QUEUE, 0), (await store.batch(batch)).suspects if batch else 0


async def joined(store: Store, name: str = "gpu0") -> Hands:
    hands = Hands(store, name, slots=8)
    await hands.beat()
    await store.release(QUEUE)
    return hands


async def batch_of_suspects(store: Store) -> str:
    """A batch whose three jobs were in an engine that died."""
    batch = await sealed_batch(store, JOBS)
    hands = await joined(store)
    for fence in [(await hands.take()).fence for _ in range(JOBS)]:
        assert await hands.commit(fence, Verdict.CRASHED) == ("ok", "waiting")
    await upkeep(store).reap(hands.card.incarnation, crashed=False)
    return batch


async def test_nobody_is_counted_before_an_engine_has_died(real_store: Store) -> None:
    """Nor what a worker gave back, or what failed in an engine that lives."""
    batch = await sealed_batch(real_store, 2)
    hands = await joined(real_store)
    for verdict in (Verdict.GIVE_BACK, Verdict.RETRY):
        await hands.commit((await hands.take()).fence, verdict)
        await real_store.release(QUEUE)
    assert await told(real_store, batch) == (0, 0)
    assert not await keys(real_store, "*suspected*")


async def test_what_was_in_a_worker_that_died_is_counted_once(real_store: Store) -> None:
    """However often it dies again; the other lane and other batches have none of it."""
    batch = await sealed_batch(real_store, JOBS)
    hands = await joined(real_store)
    for _ in range(JOBS):
        await hands.take()
    await upkeep(real_store).reap(hands.card.incarnation)
    assert await told(real_store, batch) == (JOBS, JOBS)
    hands = await joined(real_store)
    await hands.take()
    assert await told(real_store, batch) == (JOBS, JOBS), "one that runs has not ended"
    await upkeep(real_store).reap(hands.card.incarnation)
    assert await told(real_store, batch) == (JOBS, JOBS)
    other = await sealed_batch(real_store, 1)
    await real_store.submit([make_job(lane=Lane.INTERACTIVE)])
    assert await told(real_store, other) == (JOBS, 0)
    assert {depth.suspects for depth in (await real_store.fleet()).queues if depth.lane is Lane.INTERACTIVE} == {0}


async def test_jobs_without_a_batch_are_counted_too(real_store: Store) -> None:
    await real_store.submit([make_job()])
    hands = await joined(real_store)
    await hands.commit((await hands.take()).fence, Verdict.CRASHED)
    assert await told(real_store) == (1, 0)
    assert await keys(real_store, "*suspected*") == [f"suspected:{QUEUE}"]


@pytest.mark.parametrize("verdict", [Verdict.SUCCEEDED, Verdict.FAILED, Verdict.EXPIRED, Verdict.CONTINUES])
async def test_a_suspect_that_its_worker_ended_is_counted_no_more(real_store: Store, verdict: Verdict) -> None:
    """Cleared or not."""
    batch = await batch_of_suspects(real_store)
    hands = await joined(real_store, "gpu1")
    for left in reversed(range(JOBS)):
        await hands.commit((await hands.take()).fence, verdict)
        await real_store.release(QUEUE)
        assert await told(real_store, batch) == (left, left)
    assert not await keys(real_store, "*suspected*")


async def test_a_suspect_that_was_cancelled_is_counted_no_more(real_store: Store) -> None:
    """Where it waits, where it is released, and where it runs."""
    batch = await batch_of_suspects(real_store)
    await joined(real_store, "gpu1")
    running = (await (await joined(real_store, "gpu2")).take()).fence.job
    (released,) = await real_store.client.smembers(f"{real_store.prefix}suspects.out:{QUEUE}") - {running}
    (waiting,) = {f"{batch}-{n}" for n in range(JOBS)} - {running, released}
    states = {State.RUNNING: running, State.WAITING: waiting, State.QUEUED: released}
    for left, (stands, job) in zip((2, 1, 0), states.items(), strict=True):
        assert await state(real_store, job) is stands
        await real_store.cancel(job)
        assert await told(real_store, batch) == (left, left)


async def cancel(store: Store, batch: str) -> None:
    await store.cancel_batch(batch)


async def pass_deadlines(store: Store, batch: str) -> None:
    await store.client.zadd(f"{store.prefix}deadlines", {batch: 0})
    await upkeep(store).sweep()


async def outlive(store: Store, batch: str) -> None:
    """Left behind by a batch whose time is over: removed with its records."""
    await store.client.hset(f"{store.prefix}batch:{batch}", "expires_ms", 1)
    await store.client.zadd(f"{store.prefix}expiry", {batch: 0})
    await upkeep(store).sweep()


@pytest.mark.parametrize("end", [cancel, pass_deadlines, outlive])
async def test_the_suspects_of_a_batch_that_ended_are_counted_no_more(
    real_store: Store, end: Callable[[Store, str], Awaitable[None]]
) -> None:
    batch = await batch_of_suspects(real_store)
    assert await told(real_store, batch) == (JOBS, JOBS)
    await end(real_store, batch)
    assert await told(real_store) == (0, 0)
    assert not await keys(real_store, "*suspected*")


async def test_a_paused_suspect_is_still_one(real_store: Store) -> None:
    batch = await batch_of_suspects(real_store)
    await real_store.pause(batch)
    assert await told(real_store, batch) == (JOBS, JOBS)
    await real_store.resume(batch)
    assert await told(real_store, batch) == (JOBS, JOBS)


async def test_a_suspect_that_was_given_up_is_none_and_starts_again_as_none(real_store: Store) -> None:
    """Two deaths of engines in which it was the only suspect."""
    batch = await sealed_batch(real_store, 1)
    for left in (1, 1, 0):
        hands = await joined(real_store)
        await hands.take()
        await upkeep(real_store).reap(hands.card.incarnation)
        assert await told(real_store, batch) == (left, left)
    (dead,) = await real_store.dead()
    await real_store.retry(dead.id)
    assert await told(real_store, batch) == (0, 0)
    hands = await joined(real_store)
    await hands.take()
    await upkeep(real_store).reap(hands.card.incarnation)
    assert await told(real_store, batch) == (1, 1), "and may become one again"


async def test_strikes_end_a_suspect_too(real_store: Store) -> None:
    batch = await batch_of_suspects(real_store)
    hands = await joined(real_store, "gpu1")
    assert await hands.commit((await hands.take()).fence, Verdict.RETRY, max_attempts=1) == ("ok", "dead")
    assert await told(real_store, batch) == (JOBS - 1, JOBS - 1)


async def test_what_an_earlier_version_left_in_the_lists_is_struck_off(real_store: Store) -> None:
    """Its scripts end suspects, start them again and clear them away without a word to the lists."""
    batch = await batch_of_suspects(real_store)
    ended, cleared, gone = (f"{real_store.prefix}job:{batch}-{n}" for n in range(JOBS))
    await real_store.client.hset(ended, "state", "succeeded")
    await real_store.client.hdel(cleared, "suspect")
    await real_store.client.delete(gone)
    await upkeep(real_store).mend()
    assert await told(real_store, batch) == (0, 0)
    assert not await keys(real_store, "*suspected*")


async def test_suspects_that_no_list_knows_end_like_any_other(real_store: Store) -> None:
    """As an earlier version left them: they are not counted, and nothing goes below zero."""
    batch = await batch_of_suspects(real_store)
    for key in await keys(real_store, "*suspected*"):
        await real_store.client.delete(real_store.prefix + key)
    assert await told(real_store, batch) == (0, 0)
    assert len(await (await joined(real_store, "gpu1")).do_all()) == JOBS
    assert await told(real_store, batch) == (0, 0)
    assert (await real_store.batch(batch)).finished


async def test_a_restored_fleet_counts_the_same_suspects(real_store: Store, settings: Settings, tmp_path: Path) -> None:
    """What ran at the moment of the backup is given back as what it was."""
    batch = await batch_of_suspects(real_store)
    await (await joined(real_store, "gpu1")).take()
    file = tmp_path / "fleet.tar"
    await back_up(real_store, file, url=settings.redis.url)
    empty = load_settings({"fleet": {"name": "new", "state_dir": str(tmp_path / "new")}, "redis": {"url": "embedded"}})
    assert (await restore(empty, file)).given_back == 1
    server = embedded.start(empty)
    try:
        store = await open_store(empty)
        assert await told(store, batch) == (JOBS, JOBS)
        assert len(await (await joined(store)).do_all()) == JOBS
        assert await told(store, batch) == (0, 0)
        await store.close()
    finally:
        server.stop()


async def test_a_batch_that_is_kept_for_a_moment_leaves_no_list(real_store: Store) -> None:
    store = kept_for(real_store, 1)
    batch = await batch_of_suspects(store)
    await (await joined(store, "gpu1")).do_all()
    await store.client.zadd(f"{store.prefix}expiry", {batch: 0})
    await store.client.sadd(f"{store.prefix}batch:{batch}:suspected", "left_by_an_earlier_version")
    await upkeep(store).sweep()
    assert not await keys(store, "batch:*")
