"""Upkeep: who lives, whose jobs go back, which hints have vanished, and whether the counters are true."""

from __future__ import annotations

import asyncio
import random

import pytest

from tests.hands import (
    SLICE,
    Hands,
    depths,
    field,
    items_of,
    keys,
    moment_after,
    open_batch,
    ready_hints,
    recount,
    sealed_batch,
    state,
    upkeep,
)
from tests.workers import make_job
from viiwork.errors import ModelNotServed
from viiwork.jobs import BatchState, Lane, State
from viiwork.store import Fence, Store
from viiwork.store.leases import Claim, Verdict
from viiwork.store.upkeep import CLAIM_REPLY_MS


async def go_silent(store: Store, hands: Hands, *, since_ms: int = 3_600_000) -> None:
    """Let a worker's last beat be long past."""
    now_ms = await upkeep(store).server_ms()
    await store.client.zadd(f"{store.prefix}incs", {hands.card.incarnation: now_ms - since_ms})


async def age(store: Store, hands: Hands, job: str, *, by_ms: int) -> None:
    """Let a job have been claimed long ago."""
    key = f"{store.prefix}inc:{hands.card.incarnation}:running"
    await store.client.zadd(key, {job: await upkeep(store).server_ms() - by_ms})


async def test_a_beat_puts_a_worker_on_the_roster(store: Store) -> None:
    hands = Hands(store, slots=6)
    work = upkeep(store)
    counts = {Lane.INTERACTIVE: 1, Lane.BATCH: 3}
    await work.beat(hands.card, queues=["interactive.noop", "batch.noop"], in_flight=counts, held=[])
    (worker,) = (await store.fleet()).workers
    assert (worker.card, worker.in_flight) == (hands.card, counts)
    assert 0 <= worker.beat_age_ms < 60_000
    assert await store.model_card("noop") == hands.card
    with pytest.raises(ModelNotServed):
        await store.model_card("llama")


async def test_what_a_model_can_take_outlives_its_workers(store: Store) -> None:
    """Documents are cut for a model while its workers restart."""
    hands = Hands(store)
    await hands.beat()
    await upkeep(store).reap(hands.card.incarnation)
    assert (await store.fleet()).workers == ()
    assert (await store.model_card("noop")).context_tokens == 4096


async def test_the_fleet_tells_how_deep_each_lane_is(store: Store) -> None:
    await store.submit([make_job() for _ in range(5)])
    await store.submit([make_job(lane=Lane.INTERACTIVE, model="other")])
    await Hands(store).take()
    found = {(d.lane, d.model): (d.waiting, d.queued, d.running) for d in (await store.fleet()).queues}
    assert found == {(Lane.BATCH, "noop"): (3, 1, 1), (Lane.INTERACTIVE, "other"): (0, 1, 0)}


async def test_a_beat_tells_what_waits_before_the_worker_and_what_time_it_is(store: Store) -> None:
    """In one answer: asked for singly, they took two more round trips a second of every idle worker."""
    await store.submit([make_job() for _ in range(5)])
    hands, keeping = Hands(store), upkeep(store)
    await hands.take()
    before_ms = await keeping.server_ms()
    lost = await keeping.beat(hands.card, queues=["interactive.noop", "batch.noop"], in_flight={}, held=[])
    assert keeping.backlog == {"interactive.noop": 0, "batch.noop": 4}
    assert before_ms <= keeping.beat_ms <= await keeping.server_ms()
    assert lost == {}


async def test_the_fleet_says_when_it_is_closing(store: Store) -> None:
    for closing in (True, True, False, False, True):
        await store.set_closing(closing)
        assert (await store.fleet()).closing is closing


async def test_a_beat_answers_the_jobs_that_the_worker_has_lost(store: Store) -> None:
    """Cancelled, taken back, run by another, done, or unknown; never one that it still holds."""
    hands = Hands(store, slots=20)
    await hands.beat()
    await store.submit([make_job() for _ in range(6)])
    kept, cancelled, given, done, stolen, back = [(await hands.take()).fence for _ in range(6)]
    await store.cancel(cancelled.job)
    for fence in (given, stolen):
        await hands.commit(fence, Verdict.GIVE_BACK)
    await store.release("batch.noop")
    other = Hands(store, "gpu1")
    claim = await other.take()
    assert claim.fence.job == stolen.job
    await hands.commit(done)
    await hands.commit(back, Verdict.GIVE_BACK)
    lost = await hands.beat(kept, cancelled, given, done, stolen, back, Fence("job_nobody", 1, "t"))
    assert lost == {
        cancelled.job: "cancelled",
        given.job: "queued",
        done.job: "succeeded",
        stolen.job: "running",
        back.job: "waiting",
        "job_nobody": "gone",
    }
    assert await other.beat(claim.fence) == {}


async def test_a_claim_whose_reply_was_lost_is_given_back_after_the_grace(store: Store) -> None:
    """The job runs on record and in nobody's hands. Uncharged, and only when the reply cannot be on its way."""
    await store.submit([make_job(), make_job()])
    hands = Hands(store)
    lost, held = [(await hands.take()).fence for _ in range(2)]
    await hands.beat(held)
    assert await state(store, lost.job) is State.RUNNING, "the reply may still be under way"
    for fence in (lost, held):
        await age(store, hands, fence.job, by_ms=CLAIM_REPLY_MS + 1000)
    await hands.beat(held)
    assert await state(store, lost.job) is State.WAITING
    assert await state(store, held.job) is State.RUNNING
    assert await field(store, lost.job, "strikes") is None
    assert await hands.commit(lost) == ("fenced", "waiting")
    assert await depths(store) == await recount(store)


async def test_only_silent_workers_are_reaped(store: Store) -> None:
    alive, silent = Hands(store, "gpu0"), Hands(store, "gpu1")
    for hands in (alive, silent):
        await hands.beat()
    await store.submit([make_job() for _ in range(2)])
    kept, taken = (await alive.take()).fence, (await silent.take()).fence
    await go_silent(store, silent, since_ms=70_000)
    await go_silent(store, alive, since_ms=50_000)
    assert await upkeep(store, lease_ttl_s=60.0).reap() == 1
    assert await state(store, kept.job) is State.RUNNING
    assert await state(store, taken.job) is State.WAITING
    assert (await store.job(taken.job)).suspect
    assert not (await store.job(kept.job)).suspect
    assert [w.card.name for w in (await store.fleet()).workers] == ["gpu0@here"]
    assert not await keys(store, f"inc:{silent.card.incarnation}*")
    assert await alive.beat(kept) == {}


async def test_a_reaped_workers_slots_no_longer_count(store: Store) -> None:
    hands = Hands(store, slots=40)
    await hands.beat()
    await upkeep(store).reap(hands.card.incarnation)
    await store.submit([make_job() for _ in range(30)])
    assert len(await ready_hints(store)) == 2


async def test_a_worker_seen_to_exit_is_reaped_at_once(store: Store) -> None:
    """By host and process id, as its supervisor knows it; others of that host are left alone."""
    dead, other = Hands(store, "gpu0"), Hands(store, "gpu1")
    other.card = other.card.model_copy(update={"pid": 77})
    for hands in (dead, other):
        await hands.beat()
    await store.submit([make_job() for _ in range(2)])
    fences = [(await dead.take()).fence, (await other.take()).fence]
    assert await store.reap_host(host="here", pid=1) == 0
    assert await store.reap_host(host="elsewhere", pid=4242) == 0
    assert await store.reap_host(host="here", pid=4242) == 1
    assert [await state(store, fence.job) for fence in fences] == [State.QUEUED, State.RUNNING]
    assert await store.reap_host(host="here", pid=4242) == 0


async def test_a_worker_that_died_before_its_first_beat_is_reaped_too(store: Store) -> None:
    """Its claim alone puts it on the list of those who must be heard of."""
    job = make_job()
    await store.submit([job])
    hands = Hands(store)
    await hands.take()
    assert (await store.fleet()).workers == (), "it has told nothing of itself yet"
    await go_silent(store, hands)
    assert await upkeep(store).reap() == 1
    assert await state(store, job.id) is State.WAITING


async def test_a_claim_is_no_beat(store: Store) -> None:
    """A worker whose beats fail is silent, however many jobs it takes."""
    hands = Hands(store)
    await hands.beat()
    await go_silent(store, hands)
    await store.submit([make_job()])
    await hands.take()
    assert await upkeep(store).reap() == 1


async def test_a_job_under_which_workers_die_again_and_again_is_dead(store: Store) -> None:
    """The first death makes it a suspect; it is given up after two more that it met as the only one."""
    batch = await sealed_batch(store, 1)
    for _ in range(3):
        hands = Hands(store)
        await hands.take()
        assert await upkeep(store).reap(hands.card.incarnation) == 1
        assert (await store.job(f"{batch}-0")).suspect
        await store.release("batch.noop")
    status = await store.job(f"{batch}-0")
    assert status.state is State.DEAD
    assert (await store.batch(batch)).counts.failed == 1


async def test_a_dead_worker_with_more_jobs_than_a_slice_is_reaped_whole(real_store: Store) -> None:
    count = SLICE + 20
    hands = Hands(real_store, slots=2 * count)
    await hands.beat()
    await real_store.submit([make_job() for _ in range(count)])
    await real_store.release("batch.noop")
    for _ in range(count):
        await hands.take()
    back, dead = await real_store.call("reap", 0, "given_back", 0, hands.card.incarnation)
    assert (back, dead) == (SLICE, 0)
    assert (await depths(real_store)) == {"batch.noop|running": 20, "batch.noop|waiting": SLICE}
    assert await upkeep(real_store).reap(hands.card.incarnation) == 20
    assert await depths(real_store) == {"batch.noop|waiting": count} == await recount(real_store)


async def test_a_frozen_worker_that_thaws_is_back_with_its_next_beat(store: Store) -> None:
    hands = Hands(store)
    await hands.beat()
    await store.submit([make_job()])
    fence = (await hands.take()).fence
    await upkeep(store).reap(hands.card.incarnation)
    assert await hands.beat(fence) == {fence.job: "waiting"}
    assert len((await store.fleet()).workers) == 1


async def test_mending_publishes_what_vanished_and_nothing_else(store: Store) -> None:
    """Of four released jobs one hint is lost, one is in a worker's hands and two lie where they should."""
    hands = Hands(store, slots=8)
    await hands.beat()
    jobs = [make_job() for _ in range(4)]
    await store.submit(jobs)
    await hands.take()
    lost = await hands.pop()
    assert lost is not None
    before = await ready_hints(store)
    assert await upkeep(store, hint_grace_s=3600.0).mend() == 0, "it may be in a worker's hands"
    assert await upkeep(store).mend() == 1
    hints = await ready_hints(store)
    assert set(before) < set(hints)
    (again,) = set(hints) - set(before)
    assert (again.job, again.attempt) == (lost.job, lost.attempt)
    assert again.n > lost.n


async def test_a_hint_is_published_again_once_a_grace(store: Store) -> None:
    await store.submit([make_job()])
    hands = Hands(store)
    await hands.pop()
    await asyncio.sleep(0.02)
    patient = upkeep(store, hint_grace_s=0.01)
    assert await patient.mend() == 1
    assert await upkeep(store, hint_grace_s=5.0).mend() == 0
    await hands.pop()
    assert await upkeep(store, hint_grace_s=5.0).mend() == 0, "it was published a moment ago"
    await asyncio.sleep(0.02)
    assert await patient.mend() == 1


async def test_a_hint_that_was_only_late_runs_its_job_once(store: Store) -> None:
    """Popped, thought lost, published again, and then both are claimed."""
    await store.submit([make_job()])
    slow, quick = Hands(store, "gpu0"), Hands(store, "gpu1")
    late = await slow.pop()
    assert late is not None
    assert await upkeep(store).mend() == 1
    assert isinstance(await slow.claim(late), Claim)
    second = await quick.pop()
    assert second is not None
    assert not isinstance(await quick.claim(second), Claim)


async def test_mending_forgets_what_is_no_longer_released(store: Store) -> None:
    """An entry that outlived its job does no harm and does not stay."""
    await store.submit([make_job()])
    await store.client.zadd(f"{store.prefix}released:batch.noop", {"job_nobody": 1})
    await upkeep(store).mend()
    assert await store.client.zscore(f"{store.prefix}released:batch.noop", "job_nobody") is None


async def test_mending_fills_the_ready_queues(store: Store) -> None:
    """A worker joined after the jobs were submitted: nobody has to submit another one."""
    await store.submit([make_job() for _ in range(30)])
    await Hands(store, slots=20).beat()
    await upkeep(store).mend()
    assert len(await ready_hints(store)) == 10


async def test_mending_an_empty_store_is_nothing(store: Store) -> None:
    assert await upkeep(store).mend() == 0
    await upkeep(store).sweep()
    assert await upkeep(store).reap() == 0
    assert await keys(store) == []


async def test_one_worker_at_a_time_does_the_upkeep(store: Store) -> None:
    work = upkeep(store)
    assert await work.take_lock(owner="a", for_ms=60_000)
    assert not await work.take_lock(owner="b", for_ms=60_000)
    await store.client.pexpire(f"{store.prefix}upkeep", 1)
    await moment_after(store, await work.server_ms() + 1)
    assert await work.take_lock(owner="b", for_ms=60_000)


async def test_the_depth_counters_are_true_after_everything(store: Store) -> None:
    """A hundred and fifty random moves by three workers of two lanes, two of which die."""
    rng = random.Random(11)
    crew = [Hands(store, f"gpu{n}") for n in range(3)]
    for hands in crew:
        await hands.beat()
    batches = [await sealed_batch(store, 15) for _ in range(2)]
    lone = [make_job(lane=rng.choice(list(Lane))) for _ in range(20)]
    await store.submit(lone)
    for step in range(150):
        hands, lane = rng.choice(crew), rng.choice(list(Lane))
        hint = await hands.pop(lane)
        claim = await hands.claim(hint) if hint else None
        if isinstance(claim, Claim) and rng.random() < 0.7:
            await hands.commit(claim.fence, rng.choice(list(Verdict)), max_attempts=2)
        if step % 9 == 0:
            await store.cancel(rng.choice(lone).id)
        if step % 40 == 39:
            dead = crew.pop()
            await upkeep(store).reap(dead.card.incarnation)
            crew.append(Hands(store, "gpu9"))
        if step == 100:
            await store.cancel_batch(batches[0])
        if step % 5 == 0:
            await upkeep(store).mend()
        assert await depths(store) == await recount(store)
    assert (await depths(store)).total() == sum(
        depth.waiting + depth.queued + depth.running for depth in (await store.fleet()).queues
    )


async def test_an_upload_that_nobody_finished_is_given_up_after_a_day(store: Store) -> None:
    """Its submitter died: it must neither look unfinished for ever nor keep its documents for ever."""
    batch, fresh = await open_batch(store), await open_batch(store)
    await store.submit(items_of(batch, 3))
    await upkeep(store).sweep()
    assert (await store.batch(batch)).state is BatchState.UPLOADING
    long_ago = await upkeep(store).server_ms() - 25 * 3_600_000
    await store.client.zadd(f"{store.prefix}uploading", {batch: long_ago})
    await upkeep(store).sweep()
    assert (await store.batch(batch)).state is BatchState.CANCELLED
    assert (await store.batch(batch)).expires_ms
    assert (await store.batch(fresh)).state is BatchState.UPLOADING
    assert await store.client.zrange(f"{store.prefix}uploading", 0, -1) == [fresh]
