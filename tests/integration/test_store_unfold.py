"""A file that holds others: they become items of its batch while it runs, are counted once, and it has no row."""

from __future__ import annotations

import pytest

from tests.hands import Hands, depths, document, field, open_batch, parts_of, recount, states_of, upkeep
from viiwork.documents.contents import Member
from viiwork.errors import Conflict
from viiwork.jobs import BatchState, Counts, Job, State, child_id
from viiwork.store import Store
from viiwork.store.items import retry_failed
from viiwork.store.leases import Claim, Verdict
from viiwork.work import AnalysisTask, ReadInput
from viiwork_workers.items import held_jobs

READ = "batch.read"
WORK = ReadInput(name="all.zip", blob="0" * 32, task=AnalysisTask.SUMMARIZE, model="noop")


def held(claim: Claim, count: int) -> list[Job]:
    """What a reader submits for an archive of so many files."""
    return held_jobs(claim, WORK, [Member((place,), f"{place}.txt") for place in range(count)])


async def batch_of_archive(store: Store, *, plain: int = 0, sealed: bool = True, **said: object) -> str:
    """An analysis of an archive, and of some documents after it."""
    batch = await open_batch(store, total=1 + plain)
    await store.submit([document(batch, 0, **said), *(document(batch, 1 + n) for n in range(plain))])
    if sealed:
        await store.seal(batch)
    return batch


async def fail_all(reader: Hands) -> None:
    """Each document that is left cannot be read."""
    await reader.store.release(READ)
    while await reader.store.client.llen(f"{reader.store.prefix}{READ}"):
        await reader.do(Verdict.FAILED)


async def test_what_an_archive_holds_has_a_row_each_and_the_archive_has_none(store: Store) -> None:
    """The total grows with what was found and goes down by the archive; the batch ends with the last of them."""
    reader = Hands(store, "reader0", model="read", slots=32)
    batch = await batch_of_archive(store, plain=1, custom_id="box 7", metadata={"year": "2019"}, timeout_s=77)
    claim = await reader.take()
    await store.submit(held(claim, 30), fence=claim.fence)
    assert (await store.batch(batch)).counts == Counts(total=32)
    assert await reader.commit(claim.fence, Verdict.UNFOLDS) == ("ok", "succeeded")
    assert await reader.commit(claim.fence, Verdict.UNFOLDS) == ("ok", "succeeded")
    assert (await store.batch(batch)).counts == Counts(total=31)
    await fail_all(reader)
    status = await store.batch(batch)
    assert (status.state, status.counts) == (BatchState.COMPLETED, Counts(total=31, failed=31))
    rows = [row async for row in store.rows(batch)]
    inside = [row for row in rows if row.document.startswith("all.zip/")]
    assert sorted(row.document for row in inside) == sorted(f"all.zip/{place}.txt" for place in range(30))
    assert {(row.index, row.custom_id, row.metadata["year"]) for row in inside} == {(0, "box 7", "2019")}
    assert await field(store, child_id(batch, "0z0"), "timeout_ms") == "77000"
    assert [row.index for row in rows if row not in inside] == [1]
    assert await depths(store) == await recount(store)


async def test_a_reader_that_dies_half_way_loses_and_doubles_nothing(store: Store) -> None:
    """The next attempt submits all again, of which some are there; the dead one's commit comes too late."""
    first, second = Hands(store, "reader0", model="read", slots=32), Hands(store, "reader1", model="read", slots=32)
    batch = await batch_of_archive(store)
    dead = await first.take()
    await store.submit(held(dead, 7)[:4], fence=dead.fence)
    await upkeep(store).reap(first.card.incarnation)
    with pytest.raises(Conflict):
        await store.submit(held(dead, 7), fence=dead.fence)
    while (claim := await second.take()).fence.job != child_id(batch, "0"):
        await second.commit(claim.fence, Verdict.FAILED)
        await store.release(READ)
    await store.submit(held(claim, 7), fence=claim.fence)
    assert await first.commit(dead.fence, Verdict.UNFOLDS) == ("fenced", "running")
    assert await second.commit(claim.fence, Verdict.UNFOLDS) == ("ok", "succeeded")
    await fail_all(second)
    status = await store.batch(batch)
    assert (status.state, status.counts) == (BatchState.COMPLETED, Counts(total=7, failed=7))
    assert len({row.document async for row in store.rows(batch)}) == 7


async def test_an_archive_that_fails_after_some_of_it_has_a_row_beside_theirs(store: Store) -> None:
    reader = Hands(store, "reader0", model="read", slots=32)
    batch = await batch_of_archive(store)
    claim = await reader.take()
    await store.submit(held(claim, 2), fence=claim.fence)
    assert await reader.commit(claim.fence, Verdict.FAILED) == ("ok", "failed")
    await fail_all(reader)
    assert (await store.batch(batch)).counts == Counts(total=3, failed=3)


async def test_a_failed_archive_and_its_failed_files_are_tried_again_and_none_is_doubled(store: Store) -> None:
    """The archive adds only what it had not; once it can be opened it has no row any more."""
    reader = Hands(store, "reader0", model="read", slots=32)
    batch = await batch_of_archive(store)
    claim = await reader.take()
    await store.submit(held(claim, 3)[:2], fence=claim.fence)
    await reader.commit(claim.fence, Verdict.FAILED)
    await fail_all(reader)
    assert (await retry_failed(store, batch)).retried == 3
    assert (await store.batch(batch)).counts == Counts(total=3)
    for _ in range(3):
        await store.release(READ)
        again = await reader.take()
        if again.fence.job == child_id(batch, "0"):
            await store.submit(held(again, 3), fence=again.fence)
            assert await reader.commit(again.fence, Verdict.UNFOLDS) == ("ok", "succeeded")
        else:
            await reader.commit(again.fence, Verdict.FAILED)
    await fail_all(reader)
    status = await store.batch(batch)
    assert (status.state, status.counts) == (BatchState.COMPLETED, Counts(total=3, failed=3))
    assert {row.document async for row in store.rows(batch)} == {f"all.zip/{place}.txt" for place in range(3)}
    assert await depths(store) == await recount(store)


async def test_before_the_batch_is_sealed_it_is_counted_the_same(store: Store) -> None:
    """A reader may be quicker than an upload."""
    reader = Hands(store, "reader0", model="read", slots=32)
    batch = await batch_of_archive(store, sealed=False)
    claim = await reader.take()
    await store.submit(held(claim, 3), fence=claim.fence)
    await reader.commit(claim.fence, Verdict.UNFOLDS)
    await fail_all(reader)
    assert (await store.batch(batch)).state is BatchState.UPLOADING
    await store.seal(batch)
    status = await store.batch(batch)
    assert (status.state, status.counts) == (BatchState.COMPLETED, Counts(total=3, failed=3))


async def test_a_cancelled_batch_takes_none_and_ends_with_what_it_has(store: Store) -> None:
    reader = Hands(store, "reader0", model="read", slots=32)
    batch = await batch_of_archive(store)
    claim = await reader.take()
    await store.submit(held(claim, 9)[:3], fence=claim.fence)
    await store.cancel_batch(batch)
    with pytest.raises(Conflict):
        await store.submit(held(claim, 9), fence=claim.fence)
    assert await store.sweep_cancelled(batch)
    status = await store.batch(batch)
    assert (status.state, status.counts) == (BatchState.CANCELLED, Counts(total=4, cancelled=4))


async def test_nobody_adds_to_the_batch_of_another(store: Store) -> None:
    """Nor does anybody without a fence add to one that is sealed."""
    reader = Hands(store, "reader0", model="read", slots=32)
    mine, other = await batch_of_archive(store), await batch_of_archive(store)
    claim = await reader.take()
    assert claim.batch == mine
    stray = held(claim, 1)[0].model_copy(update={"batch": other})
    with pytest.raises(Conflict):
        await store.submit([stray], fence=claim.fence)
    with pytest.raises(Conflict):
        await store.submit(held(claim, 1))
    assert (await store.batch(other)).counts == Counts(total=1)


async def test_what_was_inside_lives_a_life_of_its_own(store: Store) -> None:
    """One that is started again under new names still settles its row."""
    reader = Hands(store, "reader0", model="read", slots=32)
    batch = await batch_of_archive(store)
    claim = await reader.take()
    await store.submit(held(claim, 1), fence=claim.fence)
    await reader.commit(claim.fence, Verdict.UNFOLDS)
    await store.release(READ)
    inside = await reader.take()
    await store.submit(parts_of(inside.fence.job, batch, 2), fence=inside.fence)
    assert await reader.commit(inside.fence, Verdict.RETRY, max_attempts=1) == ("ok", "dead")
    assert states_of([row async for row in store.rows(batch)]) == {"dead": 1}
    await store.retry(inside.fence.job)
    again = await reader.take()
    assert again.generation == "1"
    assert await reader.commit(again.fence, Verdict.FAILED) == ("ok", "failed")
    status = await store.batch(batch)
    assert (status.state, status.counts) == (BatchState.COMPLETED, Counts(total=1, failed=1))
    assert (await store.job(child_id(batch, "0"))).state is State.SUCCEEDED
