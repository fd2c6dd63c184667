"""Cancelling: in any state, at once, and no more than was asked for."""

from __future__ import annotations

import asyncio

import pytest

from tests.hands import (
    FEW,
    SLICE,
    Hands,
    depths,
    document,
    field,
    items_of,
    keys,
    open_batch,
    parts_of,
    recount,
    sealed_batch,
    state,
    states_of,
    upkeep,
)
from tests.workers import make_job
from viiwork.errors import Conflict
from viiwork.jobs import BatchState, Counts, Settle, State
from viiwork.store import Store
from viiwork.store.leases import Stale, Verdict


async def test_a_waiting_job_is_cancelled_and_its_turn_passes_over(store: Store) -> None:
    jobs = [make_job() for _ in range(5)]
    await store.submit(jobs)
    assert await store.cancel(jobs[3].id) is State.CANCELLED
    assert await Hands(store).do_all() == [jobs[n].id for n in (0, 1, 2, 4)]
    status = await store.job(jobs[3].id)
    assert (status.state, status.attempt) == (State.CANCELLED, 0)
    assert status.error is not None
    assert status.error.code == "cancelled"
    assert await depths(store) == {}


async def test_a_released_job_is_cancelled_and_its_hint_goes_stale(store: Store) -> None:
    job = make_job()
    await store.submit([job])
    assert await store.cancel(job.id) is State.CANCELLED
    hands = Hands(store)
    hint = await hands.pop()
    assert hint is not None
    assert await hands.claim(hint) == Stale("cancelled")
    assert await upkeep(store).mend() == 0, "nobody offers it again"


async def test_a_running_job_is_cancelled_and_its_worker_is_told(store: Store) -> None:
    jobs = [make_job() for _ in range(2)]
    await store.submit(jobs)
    hands = Hands(store)
    fences = [(await hands.take()).fence for _ in jobs]
    assert await store.cancel(jobs[0].id) is State.CANCELLED
    assert await hands.beat(*fences) == {jobs[0].id: "cancelled"}
    assert await hands.commit(fences[0]) == ("fenced", "cancelled")
    assert await hands.commit(fences[1]) == ("ok", "succeeded")


@pytest.mark.parametrize("verdict", [Verdict.SUCCEEDED, Verdict.FAILED, Verdict.EXPIRED])
async def test_a_job_that_is_done_stays_as_it_is(store: Store, verdict: Verdict) -> None:
    job = make_job()
    await store.submit([job])
    await Hands(store).do(verdict)
    before = await store.client.hgetall(f"{store.prefix}job:{job.id}")
    assert await store.cancel(job.id) is State(verdict.value)
    assert await store.client.hgetall(f"{store.prefix}job:{job.id}") == before


async def test_a_job_may_be_cancelled_again(store: Store) -> None:
    batch = await sealed_batch(store, 2)
    for _ in range(3):
        assert await store.cancel(f"{batch}-0") is State.CANCELLED
    assert (await store.batch(batch)).counts == Counts(total=2, cancelled=1)


async def test_a_document_cancelled_while_it_is_read_settles_once(store: Store) -> None:
    batch = await open_batch(store)
    await store.submit([document(batch)])
    await store.seal(batch)
    reader = Hands(store, "reader0", model="read")
    fence = (await reader.take()).fence
    await store.cancel(fence.job)
    with pytest.raises(Conflict):
        await store.submit(parts_of(fence.job, batch, 2), fence=fence)
    assert (await store.batch(batch)).counts == Counts(total=1, cancelled=1)


async def test_cancelling_a_batch_ends_all_that_is_left_of_it(store: Store) -> None:
    """Done, running, released, waiting and waiting for others; what is done keeps its answer."""
    batch = await open_batch(store)
    await store.submit([document(batch), *items_of(batch, 7, first=1)])
    await store.seal(batch)
    reader, gpu = Hands(store, "reader0", model="read"), Hands(store)
    await gpu.do()
    running = (await gpu.take()).fence
    fence = (await reader.take()).fence
    await store.submit(parts_of(fence.job, batch, 3), fence=fence)
    await reader.commit(fence, Verdict.CONTINUES)
    other = make_job()
    await store.submit([other])

    status = await store.cancel_batch(batch)
    assert (status.state, status.counts) == (BatchState.CANCELLED, Counts(total=8, succeeded=1, cancelled=7))
    assert status.expires_ms is not None
    assert await gpu.beat(running) == {running.job: "cancelled"}
    assert states_of([row async for row in store.rows(batch)]) == {"succeeded": 1, "cancelled": 7}
    assert await depths(store) == await recount(store)
    assert await gpu.do_all() == [other.id], "another's job is untouched"
    assert await reader.do_all() == []
    assert await keys(store, "cancelling") == []


async def test_a_batch_is_cancelled_while_it_uploads(store: Store) -> None:
    """What is there is cancelled, what comes afterwards is refused, and sealing it changes nothing."""
    batch = await open_batch(store, total=10)
    await store.submit(items_of(batch, 4))
    status = await store.cancel_batch(batch)
    assert (status.state, status.counts) == (BatchState.CANCELLED, Counts(total=4, cancelled=4))
    with pytest.raises(Conflict):
        await store.submit(items_of(batch, 1, first=4))
    await store.seal(batch)
    assert await store.batch(batch) == status


async def test_an_empty_batch_can_be_cancelled(store: Store) -> None:
    status = await store.cancel_batch(await open_batch(store, total=10))
    assert (status.state, status.counts) == (BatchState.CANCELLED, Counts())


async def test_a_finished_batch_stays_finished(store: Store) -> None:
    batch = await sealed_batch(store, 3)
    await Hands(store).do_all()
    before = await store.batch(batch)
    assert before.state is BatchState.COMPLETED
    assert await store.cancel_batch(batch) == before
    assert [row.state async for row in store.rows(batch)] == [State.SUCCEEDED] * 3


async def test_a_batch_may_be_cancelled_by_many_at_once(real_store: Store) -> None:
    batch = await sealed_batch(real_store, 300)
    statuses = await asyncio.gather(*(real_store.cancel_batch(batch) for _ in range(5)))
    assert {status.state for status in statuses} <= {BatchState.CANCELLING, BatchState.CANCELLED}
    assert (await real_store.batch(batch)).counts == Counts(total=300, cancelled=300)
    assert len([row async for row in real_store.rows(batch)]) == 300


async def test_a_large_batch_is_cancelled_in_slices(real_store: Store) -> None:
    """No script touches more than a slice; `cancelling` until the last of them."""
    count = 2 * SLICE + 9
    batch = await sealed_batch(real_store, count)
    await real_store.call("batch", "cancel", batch)
    assert await real_store.call("batch", "slice", batch) == 1
    assert (await real_store.batch(batch)).state is BatchState.CANCELLING
    assert (await recount(real_store)).total() == count - FEW
    await upkeep(real_store).sweep()
    status = await real_store.batch(batch)
    assert (status.state, status.counts) == (BatchState.CANCELLED, Counts(total=count, cancelled=count))
    assert await depths(real_store) == {}
    assert await real_store.client.exists(f"{real_store.prefix}cancelling") == 0


async def test_a_sweep_goes_on_where_the_one_who_began_it_died(store: Store) -> None:
    """The API was killed after the flag: any worker's upkeep ends the batch."""
    batch = await sealed_batch(store, 5)
    await store.call("batch", "cancel", batch)
    await upkeep(store).sweep()
    assert (await store.batch(batch)).state is BatchState.CANCELLED


async def test_a_job_that_comes_back_to_a_cancelled_batch_ends_there(store: Store) -> None:
    """Its worker died between the flag and the sweep; it is cancelled rather than run again."""
    batch = await sealed_batch(store, 1)
    hands = Hands(store)
    await hands.take()
    await store.call("batch", "cancel", batch)
    await upkeep(store).reap(hands.card.incarnation)
    await store.release("batch.noop")
    assert await state(store, f"{batch}-0") is State.CANCELLED
    assert (await store.batch(batch)).state is BatchState.CANCELLED


async def test_a_cancelled_part_that_settles_nothing_leaves_the_counts_to_its_merge(store: Store) -> None:
    batch = await open_batch(store)
    root, part = f"{batch}-0", f"{batch}-0x"
    await store.submit([*items_of(batch, 1), make_job(id=part, batch=batch, item=root, settle=Settle.NEVER)])
    await store.seal(batch)
    await store.cancel(part)
    assert (await store.batch(batch)).counts == Counts(total=1)
    assert await field(store, root, "item_state") is None
