"""Results: large ones in files, kept until their time is over, and gone with a date afterwards."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.hands import (
    SLICE,
    Hands,
    depths,
    document,
    field,
    items_of,
    kept_for,
    keys,
    open_batch,
    parts_of,
    recount,
    sealed_batch,
    state,
    upkeep,
)
from tests.workers import make_job
from viiwork.errors import Gone, NotFound
from viiwork.jobs import BatchState, Lane, State
from viiwork.store import Store
from viiwork.store.leases import Verdict
from viiwork.store.reading import PAGE
from viiwork.store.records import INLINE_BYTES
from viiwork.work import AnalysisTask, Answer, ChatInput, Message, ReadInput

LONG = "ä☃" * INLINE_BYTES


def blobs_of(store: Store) -> list[Path]:
    return [path for path in store.blobs.root.rglob("*") if path.is_file()]


async def run_out(store: Store, *ids: str) -> None:
    """Let the time of finished batches and jobs be over since a second."""
    past_ms = await upkeep(store).server_ms() - 1000
    for name in ids:
        record = f"{store.prefix}{'batch' if name.startswith('an_') else 'job'}:{name}"
        assert await store.client.hget(record, "expires_ms"), "only what is finished expires"
        await store.client.hset(record, "expires_ms", past_ms)
        await store.client.zadd(f"{store.prefix}expiry", {name: past_ms}, xx=True)


async def test_large_inputs_go_to_files_and_come_back(store: Store) -> None:
    small, large = make_job(text="x" * 100), make_job(text=LONG)
    await store.submit([small, large])
    assert len(blobs_of(store)) == 1
    assert not await field(store, large.id, "input")
    hands = Hands(store)
    for job in (small, large):
        claim = await hands.take()
        assert await claim.input(store) == job.input


async def test_a_documents_text_comes_back_with_its_kind(store: Store) -> None:
    """The kind of an input is a default of its model, and must be stored all the same."""
    batch = await open_batch(store)
    await store.submit([document(batch)])
    work = await (await Hands(store, "reader0", model="read").take()).input(store)
    assert isinstance(work, ReadInput)
    assert (work.name, work.text) == ("0.txt", "Some text.")


async def test_large_answers_go_to_files_and_come_back(store: Store) -> None:
    batch = await sealed_batch(store, 1)
    hands = Hands(store)
    answer = Answer(text=LONG, label="A")
    fence = (await hands.take()).fence
    assert await hands.commit(fence, result=answer) == ("ok", "succeeded")
    assert not await field(store, fence.job, "result")
    assert (await store.job(fence.job)).answer == answer
    assert [row.answer async for row in store.rows(batch)] == [answer]
    assert (await store.results([fence.job]))[0][1].answer == answer


async def test_an_answer_of_exactly_the_limit_stays_in_redis(store: Store) -> None:
    await store.submit([make_job()])
    hands = Hands(store)
    overhead = len('{"answer":{"text":""}}')
    await hands.commit((await hands.take()).fence, result=Answer(text="x" * (INLINE_BYTES - overhead)))
    assert blobs_of(store) == []


async def test_time_to_live_starts_with_the_end_of_the_whole_batch(store: Store) -> None:
    """Nothing of an unfinished batch ever expires, however long it takes."""
    brief = kept_for(store, 1)
    batch = await sealed_batch(brief, 3)
    hands = Hands(store)
    for _ in range(2):
        await hands.do()
    await asyncio.sleep(0.005)
    await upkeep(store).sweep()
    status = await store.batch(batch)
    assert (status.state, status.expires_ms) == (BatchState.RUNNING, None)
    assert len([row async for row in store.rows(batch)]) == 2
    assert (await store.job(f"{batch}-0")).expires_ms is None


async def test_a_finished_batch_says_until_when_it_is_kept(store: Store) -> None:
    batch = await sealed_batch(kept_for(store, 3_600_000), 1)
    await Hands(store).do()
    status = await store.batch(batch)
    assert status.finished_ms is not None
    assert status.expires_ms == status.finished_ms + 3_600_000


@pytest.mark.parametrize("swept", [False, True])
async def test_a_batch_whose_time_is_over_is_gone_with_all_its_jobs(store: Store, swept: bool) -> None:
    """410 with the date, before the sweep as after it, for the batch, its rows and each of its jobs."""
    batch = await open_batch(store)
    await store.submit([document(batch), *items_of(batch, 3, first=1)])
    await store.seal(batch)
    reader, gpu = Hands(store, "reader0", model="read"), Hands(store, slots=9)
    fence = (await reader.take()).fence
    await store.submit(parts_of(fence.job, batch, 2), fence=fence)
    await reader.commit(fence, Verdict.CONTINUES)
    await gpu.do_all()
    await reader.do_all()
    await run_out(store, batch)
    if swept:
        await upkeep(store).sweep()
        assert await keys(store, "job:*") == await keys(store, "batch:*") == []
    year = str((datetime.now(UTC) - timedelta(seconds=1)).year)
    for job in (f"{batch}-0", f"{batch}-0m0", f"{batch}-0l0p1", f"{batch}-3"):
        with pytest.raises(Gone, match=f"until {year}-.* UTC"):
            await store.job(job)
    with pytest.raises(Gone, match=year):
        await store.batch(batch)
    with pytest.raises(Gone):
        [row async for row in store.rows(batch)]
    with pytest.raises(Gone):
        await store.cancel_batch(batch)


async def test_a_job_on_its_own_is_gone_when_its_time_is_over(store: Store) -> None:
    job, waits = make_job(), make_job()
    await store.submit([job, waits])
    await Hands(store).do()
    await run_out(store, job.id)
    with pytest.raises(Gone, match="UTC"):
        await store.job(job.id)
    await upkeep(store).sweep()
    with pytest.raises(Gone, match="UTC"):
        await store.job(job.id)
    with pytest.raises(Gone, match="UTC"):
        await store.cancel(job.id)
    assert await state(store, waits.id) is State.QUEUED


async def test_what_never_was_is_not_found_rather_than_gone(store: Store) -> None:
    for question in (store.job("job_nobody"), store.cancel("job_nobody"), store.job("an_nobody-3")):
        with pytest.raises(NotFound) as caught:
            await question
        assert not isinstance(caught.value, Gone)
    for asked in (store.batch("an_nobody"), store.cancel_batch("an_nobody")):
        with pytest.raises(NotFound, match="analysis an_nobody"):
            await asked


async def test_results_may_be_kept_for_ever(store: Store) -> None:
    forever = kept_for(store, 0)
    batch = await sealed_batch(forever, 1)
    job = make_job()
    await forever.submit([job])
    await Hands(store).do_all()
    await upkeep(store).sweep()
    assert (await store.batch(batch)).expires_ms is None
    assert (await store.job(job.id)).expires_ms is None
    assert await keys(store, "expiry") == []


async def test_clearing_away_takes_every_file_and_key_with_it(store: Store) -> None:
    """Inputs, documents and answers; what is left are counters and the tombstone."""
    batch = await open_batch(store)
    text = ChatInput(messages=(Message(role="user", content=LONG),))
    held = await store.blobs.put(b"a document")
    read = ReadInput(name="d.txt", blob=held.id, task=AnalysisTask.SUMMARIZE, model="noop")
    await store.submit([document(batch).model_copy(update={"input": read}), *items_of(batch, 2, first=1, input=text)])
    lone = make_job(text=LONG)
    await store.submit([lone])
    await store.seal(batch)
    hands = Hands(store, slots=8)
    reader = Hands(store, "reader0", model="read")
    await reader.do(Verdict.FAILED)
    for _ in range(3):
        await hands.commit((await hands.take()).fence, result=Answer(text=LONG))
        await store.release("batch.noop")
    assert len(blobs_of(store)) == 1 + 3 + 3
    await run_out(store, batch, lone.id)
    await upkeep(store).sweep()
    assert blobs_of(store) == []
    left = await keys(store)
    assert [key for key in left if batch in key or lone.id in key] == [f"gone:{batch}", f"gone:{lone.id}"]
    assert "expiry" not in left


async def test_a_large_batch_is_cleared_away_in_slices(real_store: Store) -> None:
    count = 2 * SLICE + 3
    batch = await open_batch(real_store)
    await real_store.submit(items_of(batch, count))
    await real_store.cancel_batch(batch)
    await run_out(real_store, batch)
    flag, *_ = await real_store.call("purge", 60_000)
    assert flag == 1
    assert len(await keys(real_store, "job:*")) == count - SLICE
    with pytest.raises(Gone):
        await real_store.batch(batch)
    await upkeep(real_store).sweep()
    assert await keys(real_store, "job:*") == []


@pytest.mark.parametrize("purges", [1, 3])
async def test_rows_read_while_their_batch_is_cleared_away_end_as_gone(real_store: Store, purges: int) -> None:
    """A reader that was under way learns that they are gone, not that we met a defect."""
    count = PAGE + 10
    batch = await open_batch(real_store)
    await real_store.submit(items_of(batch, count))
    await real_store.cancel_batch(batch)
    rows = real_store.rows(batch)
    await anext(rows)
    await run_out(real_store, batch)
    for _ in range(purges):
        await real_store.call("purge", 60_000)
    with pytest.raises(Gone):
        [row async for row in rows]


async def test_jobs_that_a_batch_left_behind_leave_the_depth_counters_when_they_are_purged(store: Store) -> None:
    """A document was given up half-way: its merge waits for parts that never came, while its batch is over."""
    batch = await open_batch(store)
    await store.submit([document(batch)])
    await store.seal(batch)
    reader = Hands(store, "reader0", model="read")
    fence = (await reader.take()).fence
    await store.submit(parts_of(fence.job, batch, 5)[:3], fence=fence)
    claim = await Hands(store).take()
    await reader.commit(fence, Verdict.RETRY, max_attempts=1)
    assert (await store.batch(batch)).state is BatchState.COMPLETED
    assert await depths(store) == {"batch.read|waiting": 1, "batch.noop|queued": 1, "batch.noop|running": 1}
    await run_out(store, batch)
    await store.call("purge", 60_000)
    assert await depths(store) == await recount(store) == {}
    assert await Hands(store).commit(claim.fence) == ("fenced", "gone")
    await store.submit([make_job(lane=Lane.BATCH)])
    assert len(await Hands(store).do_all()) == 1
    assert await keys(store, "released:*") == []


async def test_the_tombstone_of_a_single_job_stands_as_long_as_the_job_did(store: Store) -> None:
    """A year of them would fill the server; a batch's are as few as the batches."""
    job = make_job()
    own = kept_for(store, 5000)
    await own.submit([job])
    await Hands(store).do()
    batch = await sealed_batch(store, 1)
    await Hands(store).do()
    await run_out(store, batch, job.id)
    await upkeep(store).sweep()
    assert 0 < await store.client.pttl(f"{store.prefix}gone:{job.id}") <= 5000
    assert await store.client.pttl(f"{store.prefix}gone:{batch}") > 5000


async def test_many_single_jobs_are_cleared_away_in_slices(real_store: Store) -> None:
    jobs = [make_job() for _ in range(2 * SLICE + 3)]
    await real_store.submit(jobs)
    for job in jobs:
        await real_store.cancel(job.id)
    await run_out(real_store, *(job.id for job in jobs))
    left = []
    while (await real_store.call("purge", 60_000))[0]:
        left.append(len(await keys(real_store, "job:*")))
    assert left == [SLICE + 3, 3, 0]
