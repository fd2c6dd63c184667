"""Limits in the store: what is taken in, what is charged, and what comes back when a job ends."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.hands import Hands, document, moment_after, open_batch, parts_of, upkeep
from tests.workers import make_job
from viiwork.errors import QuotaExceeded, RateLimited, UsageError
from viiwork.jobs import Job, Lane
from viiwork.limits import Account, Limits
from viiwork.store import Store
from viiwork.store.accounts import Tab, look
from viiwork.store.kept import kept_now, reserve
from viiwork.store.leases import Verdict
from viiwork.store.said import listen
from viiwork.work import Answer, Usage

COST = 26
"""Tokens of a job below: its prompt, and the longest answer that it may have."""


def tab(*, key: str = "key_1", defaults: Limits | None = None, **own: object) -> Tab:
    return Tab(Account("anna@lab", key=key, own=Limits.model_validate(own), defaults=defaults or Limits()))


def a_job(**fields: object) -> Job:
    return make_job(prompt_tokens=10, max_output_tokens=16, **fields)


async def test_as_many_are_taken_as_there_is_room_for_and_they_are_the_first(store: Store) -> None:
    """A slice is one call, and is cut where the limit is; what was not taken may be sent again."""
    mine, batch = tab(batch_requests_per_minute=3), await open_batch(store)
    jobs = [a_job(batch=batch) for _ in range(5)]
    with pytest.raises(RateLimited, match="This key may send 3 requests a minute in the batch lane") as refused:
        await store.submit(jobs, tab=mine)
    assert await store.known([job.id for job in jobs]) == {job.id for job in jobs[:3]}
    assert 19.0 < refused.value.retry_after_s <= 20.0
    assert mine.left is not None
    assert mine.left.headers()["x-ratelimit-remaining-requests"] == "0"


@pytest.mark.parametrize("own", [{"batch_requests_per_minute": 3}, {"batch_in_flight": 3}])
def test_more_answers_at_once_than_a_limit_ever_lets_in_are_no_matter_of_waiting(own: dict[str, Any]) -> None:
    """A client that was told to come back would come back for ever."""
    tab(**own).check_at_once([a_job() for _ in range(3)])
    with pytest.raises(UsageError, match=r"at most 3 .*; this asks for 4 at once") as refused:
        tab(**own).check_at_once([a_job() for _ in range(4)])
    assert refused.value.param == "n"


async def test_jobs_on_their_own_are_one_request_and_taken_together_or_not_at_all(store: Store) -> None:
    """Such as the choices of a chat; what is refused is not charged."""
    mine, jobs = tab(batch_requests_per_minute=3, monthly_tokens=1000), [a_job() for _ in range(4)]
    with pytest.raises(RateLimited) as refused:
        await store.submit(jobs, tab=mine)
    assert 19.0 < refused.value.retry_after_s <= 20.0
    assert await store.known([job.id for job in jobs]) == set()
    assert (await used(store, mine))[1] == 0
    assert await store.submit(jobs[:3], tab=mine) == 3


async def test_a_job_that_is_sent_again_is_not_counted_again(store: Store) -> None:
    mine, jobs = tab(batch_requests_per_minute=2), [a_job(), a_job()]
    assert await store.submit(jobs, tab=mine) == 2
    assert await store.submit(jobs, tab=mine) == 0


async def test_what_a_job_did_not_use_comes_back_at_its_end(store: Store) -> None:
    """Reserved is the longest answer; charged is what it took."""
    mine, since_ms = tab(batch_tokens_per_minute=1000, monthly_tokens=1000), await upkeep(store).server_ms()
    await store.submit([a_job()], tab=mine)
    assert await charged(store, mine, COST, since_ms=since_ms)
    hands = Hands(store)
    await hands.beat()
    claim = await hands.take()
    answer = Answer(text="done", usage=Usage(prompt_tokens=9, output_tokens=4))
    await hands.commit(claim.fence, result=answer)
    assert await charged(store, mine, 13, since_ms=since_ms)


async def test_what_a_job_used_beyond_its_reservation_is_charged(store: Store) -> None:
    """A prompt that nobody could count; the bucket may owe then, and further work waits."""
    mine = tab(batch_tokens_per_minute=30, monthly_tokens=1000)
    await store.submit([a_job()], tab=mine)
    hands = Hands(store)
    claim = await hands.take()
    await hands.commit(claim.fence, result=Answer(text="", usage=Usage(prompt_tokens=80, output_tokens=10)))
    assert (await used(store, mine))[1] == 90
    with pytest.raises(RateLimited, match="tokens a minute") as refused:
        await store.submit([a_job()], tab=mine)
    assert 120 < refused.value.retry_after_s < 180


async def test_a_request_for_more_than_a_minute_holds_needs_a_full_bucket(store: Store) -> None:
    """One that asks for an answer of any length would never be taken in otherwise."""
    mine = tab(batch_tokens_per_minute=20)
    assert await store.submit([a_job()], tab=mine) == 1
    with pytest.raises(RateLimited, match="asks for up to 26"):
        await store.submit([a_job()], tab=mine)


@pytest.mark.parametrize("end", ["cancelled", "failed", "dead", "expired"])
async def test_every_end_gives_back(store: Store, end: str) -> None:
    """Whichever script ends a job: nothing stays reserved, and it is under way no more."""
    mine = tab(batch_tokens_per_minute=1000, monthly_tokens=1000, batch_in_flight=1)
    job = a_job(deadline_s=0.001 if end == "expired" else None)
    await store.submit([job], tab=mine)
    with pytest.raises(RateLimited, match="1 requests under way"):
        await store.submit([a_job()], tab=mine)
    if end == "cancelled":
        await store.cancel(job.id)
    elif end == "expired":
        await moment_after(store, (await store.job(job.id)).deadline_ms or 0)
        await upkeep(store).sweep()
    else:
        hands = Hands(store)
        claim = await hands.take()
        verdict = Verdict.FAILED if end == "failed" else Verdict.RETRY
        await hands.commit(claim.fence, verdict, max_attempts=1)
    assert (await store.job(job.id)).state == end
    assert await used(store, mine) == (0, 0)
    assert await store.submit([a_job()], tab=mine) == 1


async def test_what_was_heard_of_an_answer_is_charged_although_it_is_cancelled(store: Store) -> None:
    """And its prompt: else whoever reads a stream and hangs up before its end would read for nothing."""
    mine, since_ms = tab(batch_tokens_per_minute=1000, monthly_tokens=1000), await upkeep(store).server_ms()
    job = a_job()
    await store.submit([job], tab=mine)
    hands = Hands(store)
    claim = await hands.take()
    await listen(store, job.id)
    for at, text in ((0, "x" * 20), (20, "née Dupont")):
        await store.call("delta", job.id, claim.fence.attempt, claim.fence.token, at, text)
    await store.cancel(job.id)
    assert (await store.job(job.id)).state == "cancelled"
    assert await charged(store, mine, 18, since_ms=since_ms)


async def test_the_prompt_of_one_that_is_cancelled_before_its_first_word_is_charged(store: Store) -> None:
    """Its engine has it; one that had not begun costs nothing."""
    mine, since_ms = tab(batch_tokens_per_minute=1000, monthly_tokens=1000), await upkeep(store).server_ms()
    begun, waits = a_job(), a_job()
    await store.submit([begun, waits], tab=mine)
    assert (await Hands(store).take()).fence.job == begun.id
    for job in (begun, waits):
        await store.cancel(job.id)
    assert await charged(store, mine, 10, since_ms=since_ms)


async def test_jobs_on_their_own_and_those_of_batches_have_limits_of_their_own(store: Store) -> None:
    mine, batch = tab(batch_in_flight=1, batch_backlog=2), await open_batch(store)
    assert await store.submit([a_job()], tab=mine) == 1
    items = [a_job(batch=batch) for _ in range(3)]
    with pytest.raises(RateLimited, match="2 unfinished jobs in the batch lane's analyses, files and batches"):
        await store.submit(items, tab=mine)
    assert await store.submit([a_job(lane=Lane.INTERACTIVE) for _ in range(9)], tab=mine) == 9


async def test_an_end_that_was_not_counted_off_does_not_hold_the_key_for_ever(store: Store) -> None:
    """As when a worker of an earlier version ended the job, or its record was lost."""
    mine, job = tab(batch_in_flight=1), a_job()
    await store.submit([job], tab=mine)
    await store.client.delete(f"{store.prefix}job:{job.id}")
    assert await store.submit([a_job()], tab=mine) == 1


async def test_two_keys_of_a_tenant_share_what_is_said_of_neither(store: Store) -> None:
    """A second key is no second quota, unless it was given one of its own."""
    fleet = Limits(monthly_tokens=2 * COST)
    first, second = tab(defaults=fleet), tab(key="key_2", defaults=fleet)
    own = tab(key="key_3", defaults=fleet, monthly_tokens=COST)
    await store.submit([a_job()], tab=first)
    await store.submit([a_job()], tab=second)
    for one in (first, second):
        with pytest.raises(QuotaExceeded, match="This tenant may use 52 tokens in a calendar month") as refused:
            await store.submit([a_job()], tab=one)
        assert "the next month begins on" in refused.value.hint
    await store.submit([a_job()], tab=own)
    with pytest.raises(QuotaExceeded, match="This key may use 26 tokens"):
        await store.submit([a_job()], tab=own)


async def test_what_a_document_unfolds_into_goes_on_its_account(store: Store) -> None:
    """Its tokens are known once it is read; they may be more than there are, and further work waits for them."""
    mine, batch = tab(batch_tokens_per_minute=30, monthly_tokens=1000), await open_batch(store)
    await store.submit([document(batch)], tab=mine)
    assert await used(store, mine) == (0, 0)
    reader = Hands(store, "reader0", model="read")
    claim = await reader.take()
    await store.submit(parts_of(claim.fence.job, batch, 3), fence=claim.fence)
    minute, month = await used(store, mine)
    assert month == 3 * make_job().cost
    assert minute >= min(30, month)
    await store.cancel_batch(batch)
    await upkeep(store).sweep()
    assert (await used(store, mine))[1] == 0


async def test_a_document_is_cut_off_where_the_month_has_no_tokens_left(store: Store) -> None:
    mine, batch = tab(monthly_tokens=2), await open_batch(store)
    await store.submit([document(batch)], tab=mine)
    reader = Hands(store, "reader0", model="read")
    claim = await reader.take()
    parts = [part.model_copy(update={"prompt_tokens": 50}) for part in parts_of(claim.fence.job, batch, 3)]
    with pytest.raises(QuotaExceeded, match="used up"):
        await store.submit(parts, fence=claim.fence)
    assert await store.known([part.id for part in parts]) == set()


async def test_a_job_without_an_account_is_counted_nowhere(store: Store) -> None:
    await store.submit([a_job()], tab=Tab(Account("anna@lab")))
    keys = [key async for key in store.client.scan_iter(match=f"{store.prefix}*")]
    assert not [key for key in keys if ":rate:" in key or ":held:" in key or ":month:" in key]


async def charged(store: Store, mine: Tab, tokens: int, *, since_ms: int) -> bool:
    """Whether that many are gone of the month and, but for what the clock has brought back, of the minute's 1,000."""
    minute, month = await used(store, mine)
    came_back = (await upkeep(store).server_ms() - since_ms) * 1000 / 60_000
    return month == tokens and tokens - came_back - 1 <= minute <= tokens


async def used(store: Store, mine: Tab) -> tuple[int, int]:
    """Tokens of the minute (a few may have come back by the clock) and of the month."""
    left = await look(store, mine, Lane.BATCH)
    assert left is not None
    minute = left.tokens.most - left.tokens.remaining if left.tokens else 0
    return minute, left.used_this_month


async def test_of_many_batches_at_once_as_many_are_let_in_as_may_be_open(store: Store) -> None:
    """And of one that is said twice, one."""
    who = Account("anna@lab", key="key_1", own=Limits(open_batches=3))
    said = [reserve(store, f"an_{number % 10}", who) for number in range(20)]
    came = await asyncio.gather(*said, return_exceptions=True)
    assert {type(one) for one in came if one} == {RateLimited}
    assert (await kept_now(store, who)).batches == 3
    assert came.count(None) == 6
