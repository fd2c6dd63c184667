"""Items: parts that count down to a merge, whose end settles a document, whose row its batch counts, once."""

from __future__ import annotations

import itertools
import random

import pytest

from tests.hands import (
    Hands,
    depths,
    document,
    field,
    items_of,
    keys,
    open_batch,
    parts_of,
    ready_hints,
    recount,
    sealed_batch,
    state,
    states_of,
    upkeep,
)
from tests.workers import make_job
from viiwork.errors import NotFound
from viiwork.jobs import BatchState, Counts, Fault, Result, Settle, State
from viiwork.store import Store
from viiwork.store.leases import Claim, Verdict
from viiwork.work import Answer

WAYS = ("succeeded", "failed", "expired", "cancelled", "cancelled while waiting", "dead", "reaped dead")


class Rig:
    """A fleet of one reader and one engine worker."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.gpu = Hands(store, "gpu0", slots=32)
        self.reader = Hands(store, "reader0", model="read", slots=32)

    async def unfold(self, batch: str, parts: int, index: int = 0) -> str:
        """Read one document into its parts and the merge that waits for them; answers the document's id."""
        await self.gpu.beat()
        await self.store.submit([document(batch, index)])
        fence = (await self.reader.take()).fence
        await self.store.submit(parts_of(fence.job, batch, parts), fence=fence)
        assert await self.reader.commit(fence, Verdict.CONTINUES) == ("ok", "succeeded")
        return fence.job

    async def end(self, job: str, way: str) -> None:
        """Bring a released engine job to its end in one of the ways there are."""
        if way == "cancelled while waiting":
            await self.store.cancel(job)
            return
        hint = next(hint for hint in await ready_hints(self.store) if hint.job == job)
        worker = Hands(self.store, "gpu1") if way == "reaped dead" else self.gpu
        claim = await worker.claim(hint)
        assert isinstance(claim, Claim)
        if way == "cancelled":
            await self.store.cancel(job)
        elif way == "reaped dead":
            await self.die_under(job, worker)
        elif way == "dead":
            assert await worker.commit(claim.fence, Verdict.RETRY, max_attempts=1) == ("ok", "dead")
        else:
            assert await worker.commit(claim.fence, Verdict(way)) == ("ok", way)

    async def die_under(self, job: str, worker: Hands) -> None:
        """The first death makes it a suspect; two more that it met as the only one, and it is given up."""
        await upkeep(self.store).reap(worker.card.incarnation)
        for name in ("gpu1", "gpu2"):
            await self.store.release("batch.noop")
            hint = [hint for hint in await ready_hints(self.store) if hint.job == job][-1]
            worker = Hands(self.store, name)
            assert isinstance(await worker.claim(hint), Claim)
            await upkeep(self.store).reap(worker.card.incarnation)
        assert await state(self.store, job) is State.DEAD


@pytest.fixture
def rig(store: Store) -> Rig:
    return Rig(store)


@pytest.mark.parametrize("way", WAYS)
async def test_the_merge_is_let_go_when_its_last_part_ends_in_whatever_way(rig: Rig, way: str) -> None:
    batch = await open_batch(rig.store)
    item = await rig.unfold(batch, 2)
    await rig.end(f"{item}l0p0", "succeeded")
    assert await ready_hints(rig.store, "batch.read") == []
    await rig.end(f"{item}l0p1", way)
    await rig.store.release("batch.read")
    assert (await rig.reader.take()).fence.job == f"{item}m0"
    assert await depths(rig.store) == await recount(rig.store)


async def test_the_merge_is_let_go_once_whatever_the_order_and_the_ways(rig: Rig) -> None:
    """Thirty documents of one to five parts, ended in mixed ways and orders."""
    rng = random.Random(7)
    batch = await open_batch(rig.store)
    items = {await rig.unfold(batch, 1 + n % 5, n): 1 + n % 5 for n in range(30)}
    ways = itertools.cycle(WAYS)
    ends = [(f"{item}l0p{part}", next(ways)) for item, parts in items.items() for part in range(parts)]
    rng.shuffle(ends)
    rig.gpu = Hands(rig.store, "gpu9", slots=500)
    await rig.gpu.beat()
    while await rig.store.release("batch.noop"):  # a slice a call
        pass
    for job, way in ends:
        await rig.end(job, way)
    merges = []
    await rig.store.release("batch.read")
    while hint := await rig.reader.pop():
        merges.append(hint.job)
        claim = await rig.reader.claim(hint)
        assert isinstance(claim, Claim), "no merge may be let go twice"
        await rig.reader.commit(claim.fence)
        await rig.store.release("batch.read")
    assert sorted(merges) == sorted(f"{item}m0" for item in items)
    assert (await rig.store.batch(batch)).counts == Counts(total=30, succeeded=30)
    assert await depths(rig.store) == await recount(rig.store)


async def test_the_commit_of_the_last_part_names_the_queue_to_release_to(rig: Rig) -> None:
    """So that the worker need not wait for the next upkeep."""
    batch = await open_batch(rig.store)
    item = await rig.unfold(batch, 2)
    first, last = [(await rig.gpu.take()).fence for _ in range(2)]
    empty = ("succeeded", "", "", 0, 0, 4)
    assert await rig.store.call("commit", first.job, first.attempt, first.token, *empty) == ["ok", "succeeded"]
    answer = await rig.store.call("commit", last.job, last.attempt, last.token, *empty)
    assert answer == ["ok", "succeeded", "batch.read"]
    assert await state(rig.store, f"{item}m0") is State.WAITING


async def test_a_part_whose_merge_is_purged_makes_no_record_of_nothing(store: Store) -> None:
    await store.submit([make_job(then="job_purged")])
    await Hands(store).do()
    assert not await keys(store, "job:job_purged")


async def test_a_document_settles_when_its_merge_ends(rig: Rig) -> None:
    """Not when it is read, nor with its parts."""
    batch = await open_batch(rig.store)
    item = await rig.unfold(batch, 2)
    await rig.store.seal(batch)
    for part in range(2):
        await rig.end(f"{item}l0p{part}", "failed")
    assert (await rig.store.batch(batch)).counts == Counts(total=1)
    await rig.store.release("batch.read")
    merged = await rig.reader.do()
    assert merged == f"{item}m0"
    status = await rig.store.batch(batch)
    assert (status.state, status.counts) == (BatchState.COMPLETED, Counts(total=1, succeeded=1))
    (row,) = [row async for row in rig.store.rows(batch)]
    assert (row.index, row.document, row.state) == (0, "0.txt", State.SUCCEEDED)
    assert row.answer is not None


@pytest.mark.parametrize("verdict", [Verdict.FAILED, Verdict.EXPIRED, Verdict.RETRY])
async def test_a_document_that_cannot_be_read_settles_at_once(rig: Rig, verdict: Verdict) -> None:
    batch = await open_batch(rig.store)
    await rig.store.submit([document(batch)])
    await rig.store.seal(batch)
    fence = (await rig.reader.take()).fence
    await rig.reader.commit(fence, verdict, Fault(code="encrypted", message="It is locked."), max_attempts=1)
    status = await rig.store.batch(batch)
    assert (status.state, status.counts) == (BatchState.COMPLETED, Counts(total=1, failed=1))
    (row,) = [row async for row in rig.store.rows(batch)]
    assert row.error is not None
    assert "It is locked." in row.error.message


@pytest.mark.parametrize(
    ("settle", "handed_on", "settles"),
    [
        (Settle.ALWAYS, False, True),
        (Settle.ALWAYS, True, False),
        (Settle.ON_FAILURE, False, False),
        (Settle.NEVER, False, False),
    ],
)
async def test_which_successes_settle_their_item(store: Store, settle: Settle, handed_on: bool, settles: bool) -> None:
    batch = await sealed_batch(store, 1, settle=settle)
    await Hands(store).do(Verdict.CONTINUES if handed_on else Verdict.SUCCEEDED)
    assert (await store.batch(batch)).counts.settled == settles


@pytest.mark.parametrize(
    ("settle", "settles"),
    [
        (Settle.ALWAYS, True),
        (Settle.ON_FAILURE, True),
        (Settle.NEVER, False),
    ],
)
async def test_which_failures_settle_their_item(store: Store, settle: Settle, settles: bool) -> None:
    batch = await sealed_batch(store, 1, settle=settle)
    await Hands(store).do(Verdict.FAILED)
    assert (await store.batch(batch)).counts.failed == settles


async def test_an_item_settles_once_however_many_of_its_jobs_end_afterwards(rig: Rig) -> None:
    """The first end is the one that counts and the one that the row shows."""
    batch = await open_batch(rig.store)
    root = f"{batch}-0"
    await rig.store.submit([*items_of(batch, 1), make_job(id=f"{root}x", batch=batch, item=root)])
    await rig.store.seal(batch)
    first = await rig.gpu.do(Verdict.FAILED)
    second = await rig.gpu.do()
    assert {first, second} == {root, f"{root}x"}
    assert (await rig.store.batch(batch)).counts == Counts(total=1, failed=1)
    rows = [row async for row in rig.store.rows(batch)]
    assert [row.state for row in rows] == [State.FAILED]
    assert await field(rig.store, root, "item_by") == first


async def test_what_a_given_up_document_leaves_behind_is_ended_with_its_batch(rig: Rig) -> None:
    """Given up half-way through submitting: its merge would wait for ever, its parts would run for nobody."""
    batch = await open_batch(rig.store)
    await rig.store.submit([document(batch), *items_of(batch, 1, first=1)])
    await rig.store.seal(batch)
    fence = (await rig.reader.take()).fence
    await rig.store.submit(parts_of(fence.job, batch, 5)[:3], fence=fence)
    await rig.reader.commit(fence, Verdict.FAILED)
    await upkeep(rig.store).sweep()
    assert await state(rig.store, f"{batch}-0m0") is State.WAITING, "while the batch runs they are left alone"
    await rig.store.cancel(f"{batch}-1")
    await upkeep(rig.store).sweep()
    assert await depths(rig.store) == await recount(rig.store) == {}
    status = await rig.store.batch(batch)
    assert (status.state, status.counts) == (BatchState.COMPLETED, Counts(total=2, failed=1, cancelled=1))
    assert await keys(rig.store, "cancelling") == []


async def test_every_way_to_end_has_its_counter(store: Store) -> None:
    """succeeded, cancelled, and failed for all the rest; the total is exact when the batch ends, and it ends once."""
    hands = Hands(store, slots=20)
    await hands.beat()
    batch = await sealed_batch(store, 6)
    for verdict in (Verdict.SUCCEEDED, Verdict.FAILED, Verdict.EXPIRED):
        await hands.do(verdict)
    await hands.commit((await hands.take()).fence, Verdict.RETRY, max_attempts=1)
    await store.cancel(f"{batch}-4")
    assert (await store.batch(batch)).state is BatchState.RUNNING
    await store.cancel(f"{batch}-5")
    status = await store.batch(batch)
    assert status.counts == Counts(total=6, succeeded=1, failed=3, cancelled=2)
    assert status.state is BatchState.COMPLETED
    rows = [row async for row in store.rows(batch)]
    assert states_of(rows) == {"succeeded": 1, "failed": 1, "expired": 1, "dead": 1, "cancelled": 2}


async def test_rows_come_in_the_order_in_which_they_settled_and_never_change(store: Store) -> None:
    hands = Hands(store, slots=40)
    await hands.beat()
    batch = await sealed_batch(store, 20, custom_id="c", metadata={"k": "v"})
    fences = [(await hands.take()).fence for _ in range(20)]
    random.Random(3).shuffle(fences)
    seen: list[str] = []
    for count, fence in enumerate(fences, start=1):
        await hands.commit(fence)
        seen.append(fence.job)
        if count % 5 == 0:
            rows = [row async for row in store.rows(batch)]
            assert [f"{batch}-{row.index}" for row in rows] == seen
    assert {(row.custom_id, row.metadata["k"]) for row in rows} == {("c", "v")}
    assert all(row.seconds >= 0 for row in rows)


async def test_rows_can_be_read_on_from_where_one_stopped(store: Store) -> None:
    batch = await sealed_batch(store, 12)
    await Hands(store).do_all()
    every = [row async for row in store.rows(batch)]
    for after, limit in [(0, 5), (5, 5), (10, 5), (12, 5), (99, None), (7, None), (0, 0), (3, 0)]:
        some = [row async for row in store.rows(batch, after=after, limit=limit)]
        assert some == every[after : None if limit is None else after + limit]


async def test_more_rows_than_one_page_are_read_in_order(real_store: Store) -> None:
    count = 450
    hands = Hands(real_store, slots=1000)
    await hands.beat()
    batch = await sealed_batch(real_store, count)
    await hands.do_all()
    rows = [row async for row in real_store.rows(batch)]
    assert [row.index for row in rows] == list(range(count))
    some = [row.index async for row in real_store.rows(batch, after=100, limit=250)]
    assert some == list(range(100, 350))


async def test_rows_of_no_batch_are_not_found(store: Store) -> None:
    with pytest.raises(NotFound):
        [row async for row in store.rows("an_nosuchbatch")]


async def test_a_merge_reads_the_results_of_its_parts_in_order(store: Store) -> None:
    """Answers, faults and ends without either; one that is missing is an error, never a gap."""
    jobs = [make_job() for _ in range(3)]
    await store.submit(jobs)
    hands = Hands(store)
    first = (await hands.take()).fence
    await hands.commit(first, result=Answer(text="one"))
    await store.release("batch.noop")
    await hands.do(Verdict.FAILED)
    await store.cancel(jobs[2].id)
    results = await store.results([job.id for job in jobs])
    assert [found for found, _ in results] == [State.SUCCEEDED, State.FAILED, State.CANCELLED]
    assert results[0][1] == Result(answer=Answer(text="one"))
    assert all(result.fault is not None for _, result in results[1:])
    with pytest.raises(NotFound):
        await store.results([jobs[0].id, "job_nobody"])
