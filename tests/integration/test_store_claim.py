"""One job in one pair of hands: claims, commits, attempts that come to nothing, and the fence between them."""

from __future__ import annotations

import asyncio

import pytest

from tests.hands import FAULT, Hands, depths, field, keys, ready_hints, recount, sealed_batch, state, upkeep
from tests.workers import make_job
from viiwork.errors import NotFound
from viiwork.jobs import TERMINAL, Fault, State
from viiwork.store import Fence, Store
from viiwork.store.leases import Claim, Stale, Verdict
from viiwork.wire import SCHEMA
from viiwork.work import Answer, Usage

ENDS = {
    Verdict.SUCCEEDED: State.SUCCEEDED,
    Verdict.CONTINUES: State.SUCCEEDED,
    Verdict.FAILED: State.FAILED,
    Verdict.EXPIRED: State.EXPIRED,
}


async def test_a_claim_tells_all_that_running_the_job_takes(store: Store) -> None:
    job = make_job(timeout_s=90.0, text="häuschen ☃", item="job_root")
    await store.submit([job])
    claim = await Hands(store).take()
    assert (claim.fence.job, claim.fence.attempt) == (job.id, 1)
    assert (claim.task, claim.lane, claim.model, claim.tenant) == (job.task, job.lane, job.model, job.tenant)
    assert (claim.batch, claim.item) == ("", "job_root")
    assert 60.0 < claim.seconds_left <= 90.0
    assert await claim.input(store) == job.input
    status = await store.job(job.id)
    assert (status.state, status.attempt, status.worker) == (State.RUNNING, 1, "gpu0@here")
    assert status.started_ms is not None


async def test_a_claim_asked_again_with_its_token_is_the_same_claim(store: Store) -> None:
    """Its reply was lost: nothing is counted twice."""
    await store.submit([make_job()])
    hands = Hands(store)
    hint = await hands.pop()
    assert hint is not None
    first = await hands.claim(hint, token="t1")
    again = await hands.claim(hint, token="t1")
    assert isinstance(first, Claim)
    assert isinstance(again, Claim)
    assert again.fence == first.fence
    assert await depths(store) == {"batch.noop|running": 1}
    assert await field(store, hint.job, "attempt") == "1"


async def test_a_job_in_somebodys_hands_is_refused_to_everybody_else(store: Store) -> None:
    """Another token, or another worker with the very same token."""
    await store.submit([make_job()])
    hands = Hands(store)
    hint = await hands.pop()
    assert hint is not None
    await hands.claim(hint, token="t1")
    assert await hands.claim(hint, token="t2") == Stale("running")
    assert await Hands(store, "gpu1").claim(hint, token="t1") == Stale("running")


async def test_of_many_claims_at_once_one_is_granted(real_store: Store) -> None:
    await real_store.submit([make_job()])
    hint = await Hands(real_store).pop()
    assert hint is not None
    claims = await asyncio.gather(*(Hands(real_store, f"gpu{n}").claim(hint) for n in range(20)))
    assert sum(isinstance(claim, Claim) for claim in claims) == 1


async def test_a_hint_of_another_attempt_is_stale(store: Store) -> None:
    """Late hints of an attempt that is over, and hints of attempts that are yet to come."""
    await store.submit([make_job()])
    hands = Hands(store)
    first = await hands.pop()
    assert first is not None
    assert await hands.claim(first, attempt=2) == Stale("queued")
    claim = await hands.claim(first)
    assert isinstance(claim, Claim)
    await hands.commit(claim.fence, Verdict.GIVE_BACK)
    await store.release("batch.noop")
    assert await hands.claim(first) == Stale("queued")
    assert (await hands.take()).fence.attempt == 2


async def test_a_job_that_waits_or_is_unknown_cannot_be_claimed(store: Store) -> None:
    jobs = [make_job() for _ in range(3)]
    await store.submit(jobs)
    hint = (await ready_hints(store))[0]
    hands = Hands(store)
    waiting = type(hint)(jobs[2].id, 1, 1)
    assert await hands.claim(waiting) == Stale("waiting")
    assert await hands.claim(type(hint)("job_nobody", 1, 1)) == Stale("gone")


async def test_a_job_of_a_newer_schema_is_left_alone(store: Store) -> None:
    """It stays queued for a worker that knows it, and mending goes on offering it."""
    job = make_job(schema_version=SCHEMA + 1)
    await store.submit([job])
    hands = Hands(store)
    hint = await hands.pop()
    assert hint is not None
    assert await hands.claim(hint) == Stale("newer")
    assert await state(store, job.id) is State.QUEUED
    assert await upkeep(store).mend() == 1


async def test_a_job_of_a_cancelled_batch_is_never_claimed(store: Store) -> None:
    """The flag acts at once, before any sweep has come to the job."""
    batch = await sealed_batch(store, 2)
    await store.call("batch", "cancel", batch)
    hands = Hands(store)
    hint = await hands.pop()
    assert hint is not None
    assert await hands.claim(hint) == Stale("cancelled")
    assert await field(store, hint.job, "state") == "cancelled"
    assert await depths(store) == await recount(store)


@pytest.mark.parametrize("verdict", ENDS)
async def test_an_end_is_committed_once(store: Store, verdict: Verdict) -> None:
    """The same commit again is harmless (its reply was lost), any other is refused."""
    job = make_job()
    await store.submit([job])
    hands = Hands(store)
    fence = (await hands.take()).fence
    end = ENDS[verdict].value
    assert await hands.commit(fence, verdict) == ("ok", end)
    before = await store.client.hgetall(f"{store.prefix}job:{job.id}")
    assert await hands.commit(fence, verdict) == ("ok", end)
    for other in set(Verdict) - {verdict}:
        assert await hands.commit(fence, other) == ("fenced", end)
    assert await store.client.hgetall(f"{store.prefix}job:{job.id}") == before
    assert before["commits"] == "1"
    assert await depths(store) == {}


async def test_only_the_claims_own_fence_can_commit(store: Store) -> None:
    job = make_job()
    await store.submit([job])
    hands = Hands(store)
    fence = (await hands.take()).fence
    for other in (Fence(job.id, 1, "guess"), Fence(job.id, 2, fence.token), Fence(job.id, 0, fence.token)):
        assert await hands.commit(other) == ("fenced", "running")
    assert await hands.commit(Fence("job_nobody", 1, "t")) == ("fenced", "gone")
    assert not await keys(store, "job:job_nobody")
    assert await hands.commit(fence) == ("ok", "succeeded")


async def test_a_worker_that_was_given_up_cannot_commit(store: Store) -> None:
    """Whatever the job does meanwhile: wait, run elsewhere, or be done."""
    job = make_job()
    await store.submit([job])
    frozen, other = Hands(store, "gpu0"), Hands(store, "gpu1")
    late = (await frozen.take()).fence
    await upkeep(store).reap(frozen.card.incarnation)
    assert await frozen.commit(late) == ("fenced", "waiting")
    await store.release("batch.noop")
    assert await frozen.commit(late) == ("fenced", "queued")
    fence = (await other.take()).fence
    assert await frozen.commit(late) == ("fenced", "running")
    assert await other.commit(fence, result=Answer(text="theirs")) == ("ok", "succeeded")
    assert await frozen.commit(late, result=Answer(text="mine")) == ("fenced", "succeeded")
    answer = (await store.job(job.id)).answer
    assert answer is not None
    assert answer.text == "theirs"


async def test_a_cancelled_job_cannot_be_committed(store: Store) -> None:
    job = make_job()
    await store.submit([job])
    hands = Hands(store)
    fence = (await hands.take()).fence
    assert await store.cancel(job.id) is State.CANCELLED
    for verdict in Verdict:
        assert await hands.commit(fence, verdict) == ("fenced", "cancelled")
    assert (await store.job(job.id)).answer is None


async def test_an_answer_comes_back_as_it_was_given(store: Store) -> None:
    job = make_job()
    await store.submit([job])
    hands = Hands(store)
    usage = Usage(prompt_tokens=7, output_tokens=3)
    given = Answer(text="ja ☃", label="A", scores={"A": 0.9}, notes=("one page has no text",), usage=usage, pages=2)
    await hands.commit((await hands.take()).fence, result=given)
    status = await store.job(job.id)
    assert (status.state, status.answer, status.error) == (State.SUCCEEDED, given, None)
    assert status.finished_ms is not None
    assert await field(store, job.id, "prompt_tokens_used") == "7"


async def test_a_failure_says_why(store: Store) -> None:
    job = make_job()
    await store.submit([job])
    hands = Hands(store)
    fault = Fault(code="too_long", message="It is too long.", hint="Cut it.")
    await hands.commit((await hands.take()).fence, Verdict.FAILED, fault)
    status = await store.job(job.id)
    assert (status.state, status.answer, status.error) == (State.FAILED, None, fault)


async def test_an_attempt_worth_another_goes_to_the_front(store: Store) -> None:
    """It was under way already: it does not queue behind those that never started."""
    jobs = [make_job() for _ in range(6)]
    await store.submit(jobs)
    hands = Hands(store)
    first = (await hands.take()).fence
    assert await hands.commit(first, Verdict.RETRY) == ("ok", "waiting")
    assert await hands.commit(first, Verdict.RETRY) == ("ok", "waiting"), "a repeated commit is charged once"
    assert await field(store, first.job, "strikes") == "1"
    assert await hands.do_all() == [jobs[1].id, jobs[0].id, *(job.id for job in jobs[2:])]


async def test_a_job_is_given_up_after_its_last_attempt_with_the_last_fault(store: Store) -> None:
    job = make_job()
    await store.submit([job])
    hands = Hands(store)
    for attempt in range(1, 4):
        fence = (await hands.take()).fence
        assert fence.attempt == attempt
        fault = Fault(code="engine_fault", message=f"Fault {attempt}.")
        end = await hands.commit(fence, Verdict.RETRY, fault, max_attempts=3)
        await store.release("batch.noop")
    assert end == ("ok", "dead")
    status = await store.job(job.id)
    assert status.state is State.DEAD
    assert status.error is not None
    assert status.error.code == "dead"
    assert "3 attempts" in status.error.message
    assert status.error.message.endswith("Fault 3.")
    assert await depths(store) == {}


async def test_a_job_that_came_back_may_still_succeed(store: Store) -> None:
    """No fault of an earlier attempt sticks to its result."""
    job = make_job()
    await store.submit([job])
    hands = Hands(store)
    await hands.do(Verdict.RETRY)
    assert (await store.job(job.id)).error is None
    await hands.do()
    status = await store.job(job.id)
    assert (status.state, status.error, status.attempt) == (State.SUCCEEDED, None, 2)


async def test_a_worker_that_leaves_gives_back_without_a_charge(store: Store) -> None:
    """However often; and the last fault before that is not forgotten."""
    job = make_job()
    await store.submit([job])
    hands = Hands(store)
    await hands.do(Verdict.RETRY)
    for _ in range(6):
        await hands.do(Verdict.GIVE_BACK)
    assert await field(store, job.id, "strikes") == "1"
    claim = await hands.take()
    assert claim.fence.attempt == 8
    await hands.commit(claim.fence, Verdict.RETRY, max_attempts=2)
    error = (await store.job(job.id)).error
    assert error is not None
    assert FAULT.message in error.message


async def test_a_crash_is_no_strike(store: Store) -> None:
    """Engine faults count towards the attempts, crashes towards the suspicion; neither towards the other."""
    job = make_job()
    await store.submit([job])
    for verdict in (Verdict.RETRY, Verdict.CRASHED, Verdict.CRASHED, Verdict.RETRY):
        assert await state(store, job.id) not in TERMINAL
        await Hands(store).do(verdict)
    status = await store.job(job.id)
    assert (status.strikes, status.suspect, status.state) == (2, True, State.QUEUED)


async def test_a_claim_of_a_job_whose_input_is_lost_says_so(store: Store) -> None:
    job = make_job(text="x" * 40_000)
    await store.submit([job])
    claim = await Hands(store).take()
    await store.blobs.delete(claim.input_blob)
    with pytest.raises(NotFound, match="missing"):
        await claim.input(store)
