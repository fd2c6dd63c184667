"""Documents of one batch with the same content: the second waits for the row of the first, and each has its own."""

from __future__ import annotations

from tests.hands import Hands, depths, document, field, keys, open_batch, parts_of, recount, states_of
from viiwork.jobs import BatchState, Counts, Fault, Job, State, TaskName, child_id
from viiwork.store import Store
from viiwork.store.items import retry_failed
from viiwork.store.leases import Claim, Verdict

READ = "batch.read"
DAMAGED = Fault(code="damaged", message="It is damaged.")


def alike(batch: str, *digests: str, first: int = 0) -> list[Job]:
    return [document(batch, first + place, digest=digest) for place, digest in enumerate(digests)]


async def batch_of(store: Store, *digests: str) -> str:
    batch = await open_batch(store, total=len(digests))
    await store.submit(alike(batch, *digests))
    await store.seal(batch)
    return batch


async def waiting_hints(store: Store) -> int:
    await store.release(READ)
    return int(await store.client.llen(f"{store.prefix}{READ}"))


async def test_the_second_waits_for_the_row_of_the_first(store: Store) -> None:
    """It is not read before, then it is told whose row to look at, and its own row says so."""
    reader = Hands(store, "reader0", model="read", slots=32)
    batch = await batch_of(store, "same", "same", "other")
    first, other = await reader.take(), await reader.take()
    assert [first.fence.job, other.fence.job] == [child_id(batch, "0"), child_id(batch, "2")]
    assert (first.same_as, await waiting_hints(store)) == ("", 0)
    assert await store.settled(first.fence.job) is None
    await reader.commit(first.fence, Verdict.FAILED, DAMAGED)
    assert await waiting_hints(store) == 1
    second = await reader.take()
    assert second.same_as == first.fence.job
    known = await store.settled(second.same_as)
    assert known is not None
    assert (known.state, known.result.fault, known.holds) == (State.FAILED, DAMAGED, False)
    await reader.commit(second.fence)  # a success settles it as well: it needs nothing further
    await reader.commit(other.fence, Verdict.FAILED, DAMAGED)
    status = await store.batch(batch)
    assert (status.state, status.duplicates) == (BatchState.COMPLETED, 1)
    assert status.counts == Counts(total=3, succeeded=1, failed=2)
    rows = {row.index: row.same_as async for row in store.rows(batch)}
    assert rows == {0: None, 1: "0.txt", 2: None}


async def test_one_that_comes_after_the_row_goes_at_once(store: Store) -> None:
    reader = Hands(store, "reader0", model="read", slots=32)
    batch = await open_batch(store, total=2)
    await store.submit(alike(batch, "same"))
    await reader.commit((await reader.take()).fence, Verdict.FAILED, DAMAGED)
    await store.submit(alike(batch, "same", first=1))
    assert (await reader.take()).same_as == child_id(batch, "0")


async def test_hundreds_of_copies_each_have_their_row(store: Store) -> None:
    """Each row lets two go; nothing of them is left, and every counter is exact."""
    reader = Hands(store, "reader0", model="read", slots=32)
    batch = await batch_of(store, *["same"] * 120, *["other"] * 3)
    while await waiting_hints(store):
        await reader.do(Verdict.FAILED)
    status = await store.batch(batch)
    assert (status.state, status.duplicates, status.counts) == (
        BatchState.COMPLETED,
        121,
        Counts(total=123, failed=123),
    )
    assert await keys(store, "twins:*") == await keys(store, "batch:*:seen") == []
    assert await depths(store) == await recount(store)


async def test_a_first_that_is_cancelled_lets_the_others_go(store: Store) -> None:
    reader = Hands(store, "reader0", model="read", slots=32)
    batch = await batch_of(store, "same", "same", "same")
    await store.cancel(child_id(batch, "0"))
    await store.release(READ)
    claims = []
    while hint := await reader.pop():
        claims.append(await reader.claim(hint))
        await store.release(READ)
    assert [claim.same_as for claim in claims if isinstance(claim, Claim)] == 2 * [child_id(batch, "0")]


async def test_a_batch_that_is_cancelled_ends_with_all_its_copies(store: Store) -> None:
    batch = await batch_of(store, *["same"] * 30)
    await store.cancel_batch(batch)
    assert await store.sweep_cancelled(batch)
    status = await store.batch(batch)
    assert (status.state, status.counts) == (BatchState.CANCELLED, Counts(total=30, cancelled=30))
    assert await keys(store, "twins:*") == []


async def test_a_copy_that_dies_is_started_again_by_itself(store: Store) -> None:
    reader = Hands(store, "reader0", model="read", slots=32)
    batch = await batch_of(store, "same", "same")
    await reader.do(Verdict.FAILED)
    second = await reader.take()
    assert await reader.commit(second.fence, Verdict.RETRY, max_attempts=1) == ("ok", "dead")
    await store.retry(second.fence.job)
    again = await reader.take()
    assert again.same_as == child_id(batch, "0")
    await reader.commit(again.fence)
    assert states_of([row async for row in store.rows(batch)]) == {"failed": 1, "succeeded": 1}


async def test_an_archive_that_comes_twice_is_opened_twice(store: Store) -> None:
    """It has no row that could hold for the other, nor is it counted; what it holds is what the first one held."""
    reader = Hands(store, "reader0", model="read", slots=32)
    await batch_of(store, "zip", "zip")
    first = await reader.take()
    assert await waiting_hints(store) == 0
    held = document(first.batch, 0, digest="a").model_copy(update={"id": f"{first.fence.job}z0"})
    await store.submit([held], fence=first.fence)
    await reader.commit(first.fence, Verdict.UNFOLDS)
    assert await waiting_hints(store) == 2
    jobs = {claim.fence.job: claim for claim in [await reader.take(), await reader.take()]}
    second = jobs[child_id(first.batch, "1")]
    assert second.same_as == first.fence.job
    assert await store.settled(second.same_as) is None
    again = held.model_copy(update={"id": f"{second.fence.job}z0"})
    await store.submit([again], fence=second.fence)
    assert await field(store, again.id, "same_as") == held.id
    await reader.commit(second.fence, Verdict.UNFOLDS)
    assert (await store.batch(first.batch)).duplicates == 1


async def test_the_same_content_in_two_batches_is_no_copy(store: Store) -> None:
    await batch_of(store, "same")
    await batch_of(store, "same")
    assert await waiting_hints(store) == 2


async def ask_by_itself(store: Store, reader: Hands, verdict: Verdict) -> str:
    """Read the next document, have its one part fail or succeed, and merge; answers its id."""
    claim = await reader.take()
    job, engine = claim.fence.job, Hands(store)
    await store.submit(parts_of(job, claim.batch, 1, generation=claim.generation), fence=claim.fence)
    await reader.commit(claim.fence, Verdict.CONTINUES)
    await store.release("batch.noop")
    await engine.do(verdict)
    await store.release(READ)
    claims = [await reader.take()]
    while claims[-1].task is not TaskName.MERGE:
        await store.release(READ)
        claims.append(await reader.take())
    await reader.commit(claims[-1].fence, verdict)
    for other in claims[:-1]:  # copies that were let go before
        await reader.commit(other.fence, Verdict.GIVE_BACK)
    return job


async def said_of(store: Store, batch: str) -> tuple[list[str | None], int | None]:
    rows = {row.index: row.same_as async for row in store.rows(batch)}
    return [rows[index] for index in sorted(rows)], (await store.batch(batch)).duplicates


async def test_after_a_retry_copies_wait_for_their_first_again(store: Store) -> None:
    """Each was asked by itself, beside a row that said the opposite."""
    reader = Hands(store, "reader0", model="read", slots=32)
    batch = await batch_of(store, *["same"] * 8)
    while await waiting_hints(store):
        await reader.do(Verdict.FAILED)
    assert (await retry_failed(store, batch)).retried == 8
    assert await waiting_hints(store) == 1
    assert await ask_by_itself(store, reader, Verdict.SUCCEEDED) == child_id(batch, "0")
    while await waiting_hints(store):
        copy = await reader.take()
        assert copy.same_as == child_id(batch, "0")
        await reader.commit(copy.fence)
    assert await said_of(store, batch) == ([None] + 7 * ["0.txt"], 7)
    assert await keys(store, "twins:*") == []
    assert await depths(store) == await recount(store)


async def test_copies_wait_also_where_their_rows_stand_before_that_of_the_first(store: Store) -> None:
    """The first was started again by itself once, so its row came last."""
    reader = Hands(store, "reader0", model="read", slots=32)
    batch = await batch_of(store, "same", "same")
    for _ in range(2):
        await reader.do(Verdict.FAILED)
    await store.call("retry", child_id(batch, "0"), "row", "")
    await store.release(READ)
    await reader.do(Verdict.FAILED)
    assert (await retry_failed(store, batch)).retried == 2
    assert await waiting_hints(store) == 1
    assert await ask_by_itself(store, reader, Verdict.SUCCEEDED) == child_id(batch, "0")


async def test_a_copy_whose_first_is_started_again_after_it_goes_back_to_wait(store: Store) -> None:
    reader = Hands(store, "reader0", model="read", slots=32)
    batch = await batch_of(store, "same", "same")
    for _ in range(2):
        await reader.do(Verdict.FAILED)
    for index in ("1", "0"):
        await store.call("retry", child_id(batch, index), "row", "")
    await store.release(READ)
    claims = [await reader.claim(hint) for _ in range(2) if (hint := await reader.pop())]
    (first,) = (claim for claim in claims if isinstance(claim, Claim))
    assert first.fence.job == child_id(batch, "0")
    assert await waiting_hints(store) == 0
    await reader.commit(first.fence, Verdict.FAILED)
    assert await waiting_hints(store) == 1
    assert await reader.do() == child_id(batch, "1")
    assert await depths(store) == await recount(store)


async def test_a_copy_that_is_asked_by_itself_is_told_as_one_of_its_own(store: Store) -> None:
    """Its row still lets go two others that wait; where it fails and is tried again it may be a copy again."""
    reader = Hands(store, "reader0", model="read", slots=32)
    batch = await batch_of(store, *["same"] * 6)
    for _ in range(6):
        await store.release(READ)
        await ask_by_itself(store, reader, Verdict.FAILED)
    assert await said_of(store, batch) == (6 * [None], None)
    assert (await retry_failed(store, batch)).retried == 6
    await store.release(READ)
    await ask_by_itself(store, reader, Verdict.SUCCEEDED)
    while await waiting_hints(store):
        await reader.do()
    assert await said_of(store, batch) == ([None] + 5 * ["0.txt"], 5)
