"""What a person may change while work is under way: pause, resume, priority, deadlines, the dead letters."""

from __future__ import annotations

import asyncio

import pytest

from tests.hands import (
    FAULT,
    SLICE,
    Hands,
    depths,
    document,
    items_of,
    keys,
    open_batch,
    parts_of,
    ready_hints,
    recount,
    sealed_batch,
    upkeep,
)
from tests.workers import make_job
from viiwork.errors import Busy, Conflict, NotFound
from viiwork.jobs import BatchState, Lane, Priority, State, new_id
from viiwork.store import Store
from viiwork.store.leases import Claim, Stale, Verdict, commit_call

QUEUE = "batch.noop"


async def let_time_pass(store: Store, key: str) -> None:
    """Make everything in a set of times due."""
    for member in await store.client.zrange(f"{store.prefix}{key}", 0, -1):
        await store.client.zadd(f"{store.prefix}{key}", {member: 1})


async def test_a_paused_batch_starts_nothing_not_even_what_was_released(store: Store) -> None:
    batch = await sealed_batch(store, 5)
    hands = Hands(store, slots=8)
    popped = await hands.pop()
    assert popped is not None
    assert (await store.pause(batch)).paused
    assert await ready_hints(store) == []
    assert await hands.claim(popped) == Stale("paused")
    await store.release(QUEUE)
    assert await hands.do_all() == []
    assert await depths(store) == await recount(store)


async def test_a_resumed_batch_goes_on_in_its_old_order(store: Store) -> None:
    batch = await sealed_batch(store, 5)
    await store.pause(batch)
    await store.pause(batch)
    assert not (await store.resume(batch)).paused
    assert await Hands(store).do_all() == [f"{batch}-{n}" for n in range(5)]
    assert (await store.batch(batch)).state is BatchState.COMPLETED


async def test_what_runs_when_its_batch_is_paused_goes_on_and_what_it_makes_waits(store: Store) -> None:
    batch = await open_batch(store)
    await store.submit([document(batch)])
    await store.seal(batch)
    reader = Hands(store, "reader0", model="read")
    fence = (await reader.take()).fence
    await store.pause(batch)
    await store.submit(parts_of(fence.job, batch, 2), fence=fence)
    assert (await reader.commit(fence, Verdict.CONTINUES))[0] == "ok"
    engine = Hands(store)
    assert await engine.do_all() == []
    await store.resume(batch)
    assert len(await engine.do_all()) == 2
    await reader.do_all()
    assert (await store.batch(batch)).state is BatchState.COMPLETED


async def test_others_go_on_while_a_batch_is_paused(store: Store) -> None:
    batch, other = await sealed_batch(store, 3), await sealed_batch(store, 3)
    await store.pause(batch)
    assert await Hands(store).do_all() == [f"{other}-{n}" for n in range(3)]


async def test_a_paused_batch_can_be_cancelled(store: Store) -> None:
    batch = await sealed_batch(store, 3)
    await store.pause(batch)
    status = await store.cancel_batch(batch)
    assert (status.state, status.paused, status.counts.cancelled) == (BatchState.CANCELLED, False, 3)


async def test_what_has_ended_cannot_be_steered(store: Store) -> None:
    batch = await sealed_batch(store, 1)
    await Hands(store).do_all()
    for act in (store.pause, store.resume, lambda b: store.set_priority(b, Priority.HIGH)):
        with pytest.raises(Conflict, match="has ended"):
            await act(batch)
    with pytest.raises(NotFound):
        await store.pause("an_00000000000000000000000000")


async def test_a_raised_batch_goes_before_what_was_released_already(store: Store) -> None:
    first, second = await sealed_batch(store, 4), await sealed_batch(store, 4)
    assert (await store.set_priority(second, Priority.HIGH)).priority is Priority.HIGH
    done = await Hands(store).do_all()
    assert done[0].startswith(second)
    assert {job.partition("-")[0] for job in done[:5]} == {first, second}
    assert sum(job.startswith(second) for job in done[:5]) == 4, "four to one, and the other is not starved"


async def test_priority_takes_nothing_from_other_tenants(store: Store) -> None:
    mine = await sealed_batch(store, 6, tenant="anna@lab")
    await sealed_batch(store, 6, tenant="bob@lab")
    await store.set_priority(mine, Priority.HIGH)
    done = await Hands(store).do_all()
    assert sum(job.startswith(mine) for job in done[:8]) in (4, 5), "half, and what was released when bob came"


async def test_a_batch_with_a_deadline_goes_first_only_when_its_slack_is_short(store: Store) -> None:
    early, late = await sealed_batch(store, 4), await open_batch(store)
    await store.open_batch(
        id="an_0000000000000000000000dead",
        tenant="anna@lab",
        lane=Lane.BATCH,
        model="noop",
        task="",
        total=4,
        deadline_s=1000.0,
    )
    await store.submit(items_of("an_0000000000000000000000dead", 4))
    await store.client.hset(f"{store.prefix}pace:{QUEUE}", mapping={"jobs_per_s": "1", "started": "0", "at_ms": "9e15"})
    hands = Hands(store)
    await hands.pop()
    await hands.pop()
    await store.release(QUEUE)
    assert {hint.job.partition("-")[0] for hint in await ready_hints(store)} == {early, "an_0000000000000000000000dead"}
    await store.client.hset(f"{store.prefix}pace:{QUEUE}", "jobs_per_s", "0.001")
    await hands.pop()
    await hands.pop()
    await store.release(QUEUE)
    assert {hint.job.partition("-")[0] for hint in await ready_hints(store)} == {"an_0000000000000000000000dead"}
    assert (await store.batch(late)).state is BatchState.UPLOADING


async def test_who_was_not_served_for_long_goes_first(store: Store) -> None:
    """However much newcomers are owed."""
    for tenant in ("old@lab", "new@lab"):
        await store.submit([make_job(tenant=tenant) for _ in range(8)])
    await store.client.zadd(f"{store.prefix}backlog:{QUEUE}", {"old@lab": 1e9})
    hands = Hands(store)
    assert all([(await store.job(await hands.do())).tenant == "new@lab" for _ in range(4)][2:])
    await store.client.zadd(f"{store.prefix}served:{QUEUE}", {"old@lab": 1})
    tenants = [(await store.job(await hands.do())).tenant for _ in range(4)]
    assert tenants.count("old@lab") == 1


async def test_the_difference_between_expected_and_real_cost_is_settled(store: Store) -> None:
    """Two tenants whose jobs were thought equal: the one whose jobs took less gets more of them through."""
    from viiwork.work import Answer, Usage

    cheap = [make_job(tenant="cheap@lab", prompt_tokens=1000) for _ in range(20)]
    dear = [make_job(tenant="dear@lab", prompt_tokens=1000) for _ in range(20)]
    await store.submit([job for pair in zip(cheap, dear, strict=True) for job in pair])
    hands, done = Hands(store), []
    for _ in range(22):
        claim = await hands.take()
        done.append(claim.tenant)
        used = 100 if claim.tenant == "cheap@lab" else 1000
        await hands.commit(claim.fence, result=Answer(text="", usage=Usage(prompt_tokens=used)))
        await store.release(QUEUE)
    assert done.count("cheap@lab") > 2 * done.count("dear@lab")


async def test_a_job_past_its_deadline_expires_wherever_it_is(store: Store) -> None:
    waiting, queued, running = (make_job(deadline_s=3600.0) for _ in range(3))
    await store.submit([running, queued, waiting, *(make_job() for _ in range(2))])
    hands = Hands(store)
    fence = (await hands.take()).fence
    await let_time_pass(store, "deadlines")
    await upkeep(store).sweep()
    for job in (waiting, queued, running):
        status = await store.job(job.id)
        assert (status.state, status.error and status.error.code) == (State.EXPIRED, "expired")
    assert await hands.beat(fence) == {running.id: "expired"}
    assert await hands.commit(fence) == ("fenced", "expired")
    assert await depths(store) == await recount(store)


async def test_a_claim_says_how_long_is_left_and_by_what(store: Store) -> None:
    await store.submit([make_job(deadline_s=60.0, timeout_s=600.0)])
    await store.submit([make_job(deadline_s=6000.0, timeout_s=600.0)])
    first, second = await Hands(store).take(), await Hands(store).take()
    assert (first.ends_by, second.ends_by) == ("deadline", "timeout")
    assert first.seconds_left <= 60 < second.seconds_left <= 600


async def test_a_batch_past_its_deadline_expires_with_what_is_done_kept(store: Store) -> None:
    batch = "an_0000000000000000000000dead"
    await store.open_batch(
        id=batch, tenant="a@b", lane=Lane.BATCH, model="noop", task="summarize", total=5, deadline_s=3600.0
    )
    await store.submit(items_of(batch, 5))
    await store.seal(batch)
    hands = Hands(store)
    await hands.do()
    fence = (await hands.take()).fence
    await let_time_pass(store, "deadlines")
    await upkeep(store).sweep()
    status = await store.batch(batch)
    assert (status.state, status.counts.succeeded, status.counts.failed) == (BatchState.EXPIRED, 1, 4)
    assert await hands.beat(fence) == {fence.job: "expired"}
    assert status.expires_ms


async def test_a_retry_waits_for_its_pause(store: Store) -> None:
    job = make_job()
    await store.submit([job])
    hands = Hands(store)
    fence = (await hands.take()).fence
    call = await commit_call(store, fence, Verdict.RETRY, FAULT, max_attempts=4, delay_s=30.0)
    assert (await store.call(call.script, *call.args))[:2] == ["ok", "waiting"]
    assert await hands.do_all() == []
    await upkeep(store).mend()
    assert await hands.do_all() == []
    await let_time_pass(store, "delayed")
    await upkeep(store).mend()
    (attempt,) = (await store.job(job.id)).history
    assert (attempt.attempt, attempt.end, attempt.fault) == (1, "retry", FAULT)
    claim = await hands.take()
    assert (claim.strikes, claim.fence.attempt) == (1, 2)


async def dead_job(store: Store, **fields: object) -> str:
    """A job that was given up."""
    job = make_job(**fields)
    await store.submit([job])
    await Hands(store).commit((await Hands(store).take()).fence, Verdict.RETRY, max_attempts=1)
    return job.id


async def test_dead_letters_are_listed_newest_first_and_page_by_page(store: Store) -> None:
    dead = [await dead_job(store) for _ in range(3)]
    for at, job in enumerate(dead):
        await store.client.zadd(f"{store.prefix}dead", {job: 1000 + at})
    assert [status.id for status in await store.dead()] == dead[::-1]
    assert [status.id for status in await store.dead(before_ms=1002, limit=1)] == [dead[1]]


async def test_a_tenants_dead_letters_are_found_behind_those_of_others(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where those of others fill whole round trips, or their records are gone."""
    monkeypatch.setattr("viiwork.store.reading.DEAD_AT_ONCE", 2)
    dead = [await dead_job(store, tenant="anna" if at in (0, 1, 6) else "ben") for at in range(8)]
    for at, job in enumerate(dead):
        await store.client.zadd(f"{store.prefix}dead", {job: 1000 + at})
    await store.client.delete(f"{store.prefix}job:{dead[3]}")
    found = [[status.id for status in await store.dead(tenant="anna", limit=limit)] for limit in (1, 2, 9)]
    assert found == [[dead[6]], [dead[6], dead[1]], [dead[6], dead[1], dead[0]]]
    assert [status.id for status in await store.dead(tenant="anna", before_ms=1006, limit=1)] == [dead[1]]
    assert await store.dead(tenant="carla") == []
    assert len(await store.dead(limit=5)) == 5, "a record that is gone ends no page"


async def test_a_dead_job_starts_again_with_a_clean_slate(store: Store) -> None:
    job = await dead_job(store)
    status = await store.retry(job)
    assert (status.id, status.state, status.strikes, status.error) == (job, State.QUEUED, 0, None)
    assert await store.dead() == []
    assert await Hands(store).do_all() == [job]
    assert (await store.job(job)).state is State.SUCCEEDED
    assert await depths(store) == await recount(store)
    with pytest.raises(Conflict, match="not dead"):
        await store.retry(job)


async def test_a_dead_item_of_a_batch_reopens_it_and_moves_no_other_row(store: Store) -> None:
    """Whoever has read up to some row goes on from there and gets the new one."""
    batch = await sealed_batch(store, 3)
    hands = Hands(store)
    fence = (await hands.take()).fence
    await hands.commit(fence, Verdict.RETRY, max_attempts=1)
    await hands.do_all()
    assert (await store.batch(batch)).state is BatchState.COMPLETED
    read = [row.index async for row in store.rows(batch)]
    await store.retry(fence.job)
    status = await store.batch(batch)
    assert (status.state, status.counts.failed, status.expires_ms) == (BatchState.RUNNING, 0, None)
    await hands.do_all()
    status = await store.batch(batch)
    assert (status.state, status.counts.succeeded) == (BatchState.COMPLETED, 3)
    assert [row.index async for row in store.rows(batch, after=len(read))] == [0]
    assert sorted([row.index async for row in store.rows(batch)]) == [0, 1, 2]


async def test_a_dead_part_starts_its_whole_document_again_under_new_names(store: Store) -> None:
    batch = await open_batch(store)
    await store.submit([document(batch)])
    await store.seal(batch)
    reader, engine = Hands(store, "reader0", model="read"), Hands(store)
    fence = (await reader.take()).fence
    await store.submit(parts_of(fence.job, batch, 2), fence=fence)
    await reader.commit(fence, Verdict.CONTINUES)
    part = (await engine.take()).fence
    await engine.commit(part, Verdict.RETRY, max_attempts=1)
    await engine.do_all()
    await store.release("batch.read")
    merge = (await reader.take()).fence
    await reader.commit(merge, Verdict.FAILED)
    assert (await store.batch(batch)).counts.failed == 1
    assert (await store.retry(part.job)).id == fence.job
    claim = await reader.take()
    assert (claim.fence.job, claim.generation) == (fence.job, "1")
    assert (await store.batch(batch)).state is BatchState.RUNNING


async def test_a_dead_letter_can_be_put_away(store: Store) -> None:
    job = await dead_job(store)
    await store.purge_dead(job)
    assert await store.dead() == []
    assert (await store.job(job)).state is State.DEAD
    with pytest.raises(NotFound, match="dead letters"):
        await store.purge_dead(job)


async def test_a_tenant_may_have_only_so_many_unfinished_jobs(store: Store) -> None:
    jobs = [make_job() for _ in range(3)]
    await store.submit(jobs, max_backlog=3)
    await store.submit(jobs, max_backlog=3)
    with pytest.raises(Busy, match="Too many"):
        await store.submit([make_job()], max_backlog=3)
    await store.submit([make_job(tenant="bob@lab")], max_backlog=3)
    await store.cancel(jobs[0].id)
    await store.submit([make_job()], max_backlog=3)
    await store.submit([make_job()])
    await Hands(store).do_all()
    assert not await store.client.exists(f"{store.prefix}load")


async def test_a_worker_is_told_at_once_of_what_is_taken_from_it(real_store: Store) -> None:
    hands = Hands(real_store)
    await real_store.submit([make_job()])
    fence = (await hands.take()).fence
    async with real_store.client.pubsub() as news:
        await news.subscribe(f"{real_store.prefix}drop:{hands.card.incarnation}", f"{real_store.prefix}ev:{fence.job}")
        heard: list[str] = []
        async with asyncio.timeout(60):
            while len(heard) < 2:  # what is said before the server has confirmed both is not heard
                message = await news.get_message(timeout=1)
                heard += [message["channel"]] if message else []
            await real_store.cancel(fence.job)
            told: list[str] = []
            while len(told) < 2:
                message = await news.get_message(ignore_subscribe_messages=True, timeout=1)
                told += [message["data"]] if message else []
    assert sorted(told) == sorted([f"{fence.job} cancelled", "cancelled"])


async def test_submitted_work_can_be_confirmed_to_be_on_disk(real_store: Store) -> None:
    await real_store.submit([make_job()])
    info = await real_store.client.info()
    confirmed = await real_store.confirm()
    assert confirmed.synced == bool(int(info["aof_enabled"]))
    assert (confirmed.notice == "") == confirmed.synced
    assert (await real_store.pressure()).used_bytes > 0


async def test_everything_is_counted(store: Store) -> None:
    await store.submit([make_job() for _ in range(3)])
    hands = Hands(store)
    await hands.do()
    await hands.do(Verdict.FAILED)
    fence = (await hands.take()).fence
    await hands.commit(fence, Verdict.GIVE_BACK)
    await hands.commit(fence, Verdict.SUCCEEDED)
    counted = {name: by_queue[QUEUE] for name, by_queue in (await store.stats()).items() if by_queue.get(QUEUE)}
    assert counted == {
        "submitted": 3,
        "released": 3,
        "started": 3,
        "succeeded": 1,
        "failed": 1,
        "given_back": 1,
        "fenced": 1,
    }


async def test_a_dead_item_that_is_retried_is_not_swept_with_what_its_batch_left_behind(store: Store) -> None:
    """The batch was paused when its last job died, so the sweep was to end what nobody would resume."""
    batch = await sealed_batch(store, 2 * SLICE)
    hands = Hands(store, slots=8)
    await hands.beat()
    first = await hands.take()
    await store.release("batch.noop")
    assert len(await hands.do_all()) == 2 * SLICE - 1
    await store.pause(batch)
    await hands.commit(first.fence, Verdict.RETRY, max_attempts=1)
    assert (await store.batch(batch)).state is BatchState.COMPLETED
    assert await store.call("batch", "slice", batch) == 1
    await store.submit([make_job(tenant="bob@lab") for _ in range(20)])
    await store.retry(first.fence.job)
    await upkeep(store).sweep()
    assert first.fence.job in await hands.do_all()
    status = await store.batch(batch)
    assert (status.state, status.counts.succeeded) == (BatchState.COMPLETED, 2 * SLICE)
    assert await depths(store) == await recount(store)


async def test_what_an_earlier_generation_of_a_document_comes_to_is_not_the_documents_end(store: Store) -> None:
    """A part died, and was retried while the others were still under way: their merge fails, the new one counts."""
    batch = await open_batch(store)
    await store.submit([document(batch)])
    await store.seal(batch)
    gpu, reader = Hands(store), Hands(store, "reader0", model="read")
    read = await reader.take()
    await store.submit(parts_of(read.fence.job, batch, 2), fence=read.fence)
    await reader.commit(read.fence, Verdict.CONTINUES)
    dead = await gpu.take()
    await gpu.commit(dead.fence, Verdict.RETRY, max_attempts=1)
    await store.retry(dead.fence.job)
    await gpu.do()
    await store.release("batch.read")
    merge = await reader.take()
    again = await reader.take()
    if again.generation == "":
        merge, again = again, merge
    await reader.commit(merge.fence, Verdict.FAILED)
    assert (await store.batch(batch)).state is BatchState.RUNNING
    await store.submit(parts_of(read.fence.job, batch, 2, generation="1"), fence=again.fence)
    await reader.commit(again.fence, Verdict.CONTINUES)
    await gpu.do_all()
    await reader.do_all()
    status = await store.batch(batch)
    assert (status.state, status.counts.succeeded, status.counts.failed) == (BatchState.COMPLETED, 1, 0)


async def test_a_batchs_deadline_is_kept_by_whoever_comes_next(store: Store) -> None:
    """The worker that learned of it died before it did anything."""
    batch = new_id("an")
    await store.open_batch(
        id=batch, tenant="anna@lab", lane=Lane.BATCH, model="noop", task="summarize", total=3, deadline_s=60.0
    )
    await store.submit(items_of(batch, 3))
    await store.seal(batch)
    await let_time_pass(store, "deadlines")
    assert await store.call("expire") == await store.call("expire") == [0, batch]
    await upkeep(store).sweep()
    assert (await store.batch(batch)).state is BatchState.EXPIRED
    assert await keys(store, "deadlines") == []


async def test_live_jobs_are_found_behind_many_that_were_cancelled(store: Store) -> None:
    jobs = [make_job() for _ in range(4 * SLICE)]
    await store.submit(jobs)
    for job in jobs[:-1]:
        await store.cancel(job.id)
    assert await Hands(store).do_all() == [], "the hints that lay ready were stale"
    await upkeep(store).mend()
    assert await Hands(store).do_all() == [jobs[-1].id]


async def test_all_whose_pause_is_over_come_back_in_one_turn(store: Store) -> None:
    jobs = [make_job() for _ in range(3 * SLICE)]
    await store.submit(jobs)
    hands = Hands(store, slots=2 * len(jobs))
    await hands.beat()
    for _ in range(4):
        await store.release("batch.noop")
    while hint := await hands.pop():
        claim = await hands.claim(hint)
        assert isinstance(claim, Claim)
        call = await commit_call(store, claim.fence, Verdict.RETRY, FAULT, max_attempts=4, delay_s=30.0)
        await store.call(call.script, *call.args)
    await let_time_pass(store, "delayed")
    await upkeep(store).mend()
    assert await keys(store, "delayed") == []


async def test_a_pause_does_not_last_as_long_as_the_clock_was_put_back(store: Store) -> None:
    job = make_job()
    await store.submit([job])
    hands = Hands(store)
    call = await commit_call(store, (await hands.take()).fence, Verdict.RETRY, FAULT, max_attempts=4, delay_s=1.0)
    await store.call(call.script, *call.args)
    await store.client.zincrby(f"{store.prefix}delayed", 2 * 3_600_000, job.id)
    await upkeep(store).mend()
    assert await hands.do_all() == [job.id]


async def test_every_attempt_goes_by_what_the_first_one_saw(store: Store) -> None:
    """A document that is cut again must be cut alike, though the model's card has changed."""
    batch = await open_batch(store)
    await store.submit([document(batch)])
    reader = Hands(store, "reader0", model="read")
    card = Hands(store).card
    other = card.model_copy(update={"context_tokens": 512})
    first = await reader.take()
    assert await store.pin_card(first.fence, card) == card
    await reader.commit(first.fence, Verdict.GIVE_BACK)
    await store.release("batch.read")
    assert await store.pin_card((await reader.take()).fence, other) == card
    assert await store.pin_card(first.fence, other) == other, "it may no longer say what others go by"
