"""An analysis that is deleted: at any moment of its life, in slices, and to the end, whoever dies meanwhile."""

from __future__ import annotations

import pytest

from tests.hands import (
    SLICE,
    Hands,
    depths,
    document,
    items_of,
    keys,
    open_batch,
    parts_of,
    recount,
    sealed_batch,
    upkeep,
)
from tests.workers import make_job
from viiwork.errors import Conflict, Gone, NotFound
from viiwork.jobs import Lane, new_id
from viiwork.store import Store
from viiwork.store.callbacks import replay, take
from viiwork.store.leases import Verdict
from viiwork.store.records import INLINE_BYTES
from viiwork.store.removal import TOMBSTONE_MS, remove
from viiwork.work import AnalysisTask, Answer, ReadInput

LONG = "x" * (INLINE_BYTES + 1)


def blobs_of(store: Store) -> list[str]:
    return [path.name for path in store.directory.root.rglob("*") if path.is_file()]


async def of_it(store: Store, batch: str) -> list[str]:
    """The keys that name a batch, but its tombstone and its receipt."""
    return [key for key in await keys(store) if batch in key and not key.startswith(("gone:", "deleted:"))]


async def test_a_deleted_analysis_leaves_a_receipt_and_nothing_else(store: Store) -> None:
    """Records, files, lists: all of it; asking again answers the same receipt."""
    batch = await sealed_batch(store, 3, text=LONG)
    hands = Hands(store)
    fence = (await hands.take()).fence
    await hands.commit(fence, result=Answer(text=LONG))
    await store.release("batch.noop")
    await hands.do_all()
    done = await remove(store, batch)
    assert (done.finished, done.was, done.documents, done.jobs, done.blobs) == (True, "completed", 3, 3, 4)
    assert await of_it(store, batch) == blobs_of(store) == []
    assert await remove(store, batch) == done
    assert "unlinking" not in await keys(store)
    for question in (store.batch(batch), store.job(f"{batch}-0"), store.cancel_batch(batch)):
        with pytest.raises(Gone, match="deleted at"):
            await question


async def test_what_is_inside_a_file_counts_no_file_of_its_own_in_the_receipt(store: Store) -> None:
    """Each of the jobs names the upload that it is in."""
    batch = await open_batch(store, total=1)
    upload = await store.blobs.put(b"an archive")
    work = ReadInput(name="all.zip", blob=upload.id, task=AnalysisTask.SUMMARIZE, model="noop")
    archive = document(batch).model_copy(update={"input": work})
    await store.submit([archive])
    await store.seal(batch)
    reader = Hands(store, "reader0", model="read")
    claim = await reader.take()
    held = [archive.model_copy(update={"id": f"{archive.id}z{place}"}) for place in range(SLICE + 10)]
    await store.submit(held, fence=claim.fence)
    await reader.commit(claim.fence, Verdict.UNFOLDS)
    done = await remove(store, batch)
    assert (done.documents, done.jobs, done.blobs) == (SLICE + 10, SLICE + 11, 1)
    assert blobs_of(store) == []


async def test_one_that_runs_is_stopped_and_its_late_ends_are_refused(store: Store) -> None:
    """In every state at once: one read, one in an engine, one that waits. Nothing of it comes to life again."""
    batch = await open_batch(store, total=3)
    await store.submit([document(batch), *items_of(batch, 2, first=1)])
    await store.seal(batch)
    reader, engine = Hands(store, "reader0", model="read"), Hands(store)
    read = (await reader.take()).fence
    await store.submit(parts_of(read.job, batch, 3), fence=read)
    runs = (await engine.take()).fence
    done = await remove(store, batch)
    assert (done.finished, done.was, done.jobs) == (True, "running", 7)
    assert await engine.commit(runs, result=Answer(text="late")) == ("fenced", "gone")
    assert await reader.commit(read, Verdict.CONTINUES) == ("fenced", "gone")
    with pytest.raises(Conflict):
        await store.submit(parts_of(read.job, batch, 1), fence=read)
    assert await of_it(store, batch) == []
    assert await depths(store) == await recount(store) == {}
    await store.submit([make_job()])
    assert len(await engine.do_all()) == 1, "others go on"
    assert await store.client.hgetall(f"{store.prefix}load") == {}


async def test_what_dies_half_way_is_finished_by_the_upkeep(store: Store) -> None:
    """Of a large one the first slice is gone, of another nothing but its sight; the receipt counts all in the end."""
    large, other = await sealed_batch(store, SLICE + 5, text=LONG), await sealed_batch(store, 2, text=LONG)
    for batch in (large, other):
        assert await store.call("batch", "remove", batch, TOMBSTONE_MS)
    more, *blobs = await store.call("purge", TOMBSTONE_MS, large)
    assert (more, len(blobs)) == (1, SLICE), "and whoever asked is dead before a single file is gone"
    with pytest.raises(Gone):
        await store.batch(other)
    await upkeep(store).sweep()
    await upkeep(store).sweep()
    assert blobs_of(store) == []
    assert await of_it(store, large) == await of_it(store, other) == []
    done = await remove(store, large)
    assert (done.finished, done.jobs, done.blobs) == (True, SLICE + 5, SLICE + 5)
    assert await depths(store) == {}


async def test_a_deletion_without_patience_says_that_it_is_not_finished(store: Store) -> None:
    batch = await sealed_batch(store, 2)
    done = await remove(store, batch, for_s=0)
    assert (done.finished, done.finished_ms) == (False, None)
    await upkeep(store).sweep()
    assert (await remove(store, batch)).finished


async def test_an_end_that_comes_between_two_slices_makes_nothing_anew(store: Store) -> None:
    """Its document's record is gone, the part's own is not yet: the part's end must not make the document's again."""
    batch = await open_batch(store, total=1)
    await store.submit([document(batch)])
    await store.seal(batch)
    reader, engine = Hands(store, "reader0", model="read"), Hands(store, slots=99)
    read = (await reader.take()).fence
    await store.submit(parts_of(read.job, batch, SLICE), fence=read)
    await reader.commit(read, Verdict.CONTINUES)
    for _ in range(SLICE - 1):
        await engine.do()
    last = (await engine.take()).fence
    assert await store.call("batch", "remove", batch, TOMBSTONE_MS)
    await store.call("purge", TOMBSTONE_MS, batch)
    assert await keys(store, f"job:{batch}-0") == []
    await engine.commit(last, Verdict.FAILED)
    await upkeep(store).sweep()
    assert await of_it(store, batch) == []
    assert await depths(store) == {}


async def test_its_callbacks_go_with_it_and_are_sent_to_nobody(store: Store) -> None:
    batch = new_id("an")
    told = {"id": batch, "tenant": "anna@lab", "lane": Lane.BATCH, "model": "noop", "task": "ask", "total": 1}
    await store.open_batch(**told, callback_url="http://example.test/hook")
    await store.submit(items_of(batch, 1))
    await store.seal(batch)
    await Hands(store).do_all()
    (callback,) = await keys(store, "callback:*")
    done = await remove(store, batch)
    assert done.callbacks == 1
    assert await keys(store, "callback:*") == await keys(store, "callbacks.pending") == []
    assert await take(store, token="t", most=9, lease_s=9) == []
    assert not await replay(store, callback.partition(":")[2])


async def test_a_key_that_is_sent_again_makes_no_deleted_analysis_anew(store: Store) -> None:
    batch = await sealed_batch(store, 1)
    await remove(store, batch)
    with pytest.raises(Gone, match="deleted"):
        await store.open_batch(id=batch, tenant="anna@lab", lane=Lane.BATCH, model="noop", task="ask", total=1)
    assert await of_it(store, batch) == []


async def test_inputs_that_nobody_took_leave_no_file(store: Store) -> None:
    """A reader whose document was deleted, and one that submits the same again after a crash."""
    batch = await open_batch(store, total=1)
    await store.submit([document(batch)])
    await store.seal(batch)
    read = (await Hands(store, "reader0", model="read").take()).fence
    large = [job.model_copy(update={"input": make_job(text=LONG).input}) for job in parts_of(read.job, batch, 2)]
    await store.submit(large, fence=read)
    assert len(blobs_of(store)) == 3
    await store.submit(large, fence=read)
    assert len(blobs_of(store)) == 3, "they are there already"
    await remove(store, batch)
    with pytest.raises(Conflict):
        await store.submit(large, fence=read)
    assert blobs_of(store) == []


async def test_what_never_was_has_no_receipt(store: Store) -> None:
    with pytest.raises(NotFound):
        await remove(store, "an_00000000000000000000000000")


async def test_a_file_that_cannot_be_removed_is_tried_again_and_holds_no_other_up(store: Store) -> None:
    """A directory stands in its place here; on a real disk it is one that somebody made read-only."""
    batch = await sealed_batch(store, 2, text=LONG)
    stuck = store.directory.path(min(blobs_of(store)))
    stuck.unlink()
    stuck.mkdir()
    told = await remove(store, batch)
    assert (told.finished, told.finished_ms) == (False, None)
    assert blobs_of(store) == []
    assert await store.client.smembers(f"{store.prefix}unlinking") == {stuck.name}
    stuck.rmdir()
    stuck.write_bytes(b"as it was")
    await upkeep(store).sweep()
    assert blobs_of(store) == []
    assert (await remove(store, batch)).finished
