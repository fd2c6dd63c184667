"""Taking jobs in: once each, under a fence, into open batches; and the order in which they are let go."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

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
    upkeep,
)
from tests.workers import make_job
from viiwork.errors import Conflict, StoreUnavailable
from viiwork.jobs import BatchState, Job, Lane, State
from viiwork.store import Fence, Store
from viiwork.store.endpoint import connect
from viiwork.store.intake import SLICE, SLICE_BYTES, _slices
from viiwork.store.leases import Verdict
from viiwork.store.scripts import Call
from viiwork.work import AnalysisTask, CompletionInput, StepInput, TaskOptions


async def test_a_job_goes_in_once_however_often_it_is_submitted(store: Store) -> None:
    """A retry after a lost reply is harmless, even when the job has moved on meanwhile."""
    job = make_job()
    assert await store.submit([job]) == 1
    assert await store.submit([job, make_job()]) == 1
    await Hands(store).take()
    assert await store.submit([job]) == 0
    assert await state(store, job.id) is State.RUNNING
    assert await depths(store) == await recount(store)


async def test_the_same_job_twice_in_one_call_goes_in_once(store: Store) -> None:
    job = make_job()
    assert await store.submit([job, job]) == 1


async def test_what_was_submitted_is_known(store: Store) -> None:
    """However it stands with it; a job that never came is not, and nobody asked about is nobody known."""
    waiting, cancelled, strange = make_job(), make_job(), make_job()
    await store.submit([waiting, cancelled])
    await store.cancel(cancelled.id)
    assert await store.known([waiting.id, strange.id, cancelled.id]) == {waiting.id, cancelled.id}
    assert await store.known([]) == set()


async def test_submitting_nothing_is_nothing(store: Store) -> None:
    assert await store.submit([]) == 0
    assert await keys(store) == []


async def test_a_submitted_job_reads_back_as_it_was(store: Store) -> None:
    """Names and metadata in any script, and a tenant with colons and glob characters, survive."""
    job = make_job(tenant="a:b*c@[häuschen]", custom_id="Zeile 1\n☃", metadata={"ключ": "значение", "empty": ""})
    await store.submit([job])
    status = await store.job(job.id)
    assert (status.tenant, status.custom_id, status.metadata) == (job.tenant, job.custom_id, job.metadata)
    assert (status.lane, status.model, status.task) == (job.lane, job.model, job.task)
    assert status.created_ms > 0
    assert (status.attempt, status.started_ms, status.finished_ms, status.answer) == (0, None, None, None)
    assert (await Hands(store).take()).tenant == job.tenant


async def test_a_parent_whose_fence_is_down_submits_nothing(store: Store) -> None:
    """Not running, an older attempt, another token, or not there at all: no trace of the children is left."""
    parent = make_job()
    await store.submit([parent])
    child = make_job(id=f"{parent.id}-c0")
    before = await keys(store)
    for fence in (Fence(parent.id, 1, "guess"), Fence("job_nobody", 1, "t")):
        with pytest.raises(Conflict):
            await store.submit([child], fence=fence)
    assert await keys(store) == before

    held = (await Hands(store).take()).fence
    for fence in (Fence(held.job, held.attempt, "guess"), Fence(held.job, held.attempt + 1, held.token)):
        with pytest.raises(Conflict):
            await store.submit([child], fence=fence)
    assert await store.submit([child], fence=held) == 1
    await Hands(store).commit(held)
    with pytest.raises(Conflict):
        await store.submit([make_job(id=f"{parent.id}-c1")], fence=held)
    assert not await keys(store, f"job:{parent.id}-c1")


async def test_a_batch_that_is_sealed_cancelled_or_over_takes_no_more_items(store: Store) -> None:
    """-2: the batch's items, job list and depths are as before."""
    cancelled = await sealed_batch(store, 2)
    await store.cancel_batch(cancelled)
    over = await sealed_batch(store, 1)
    await Hands(store).do_all()
    sealed = await sealed_batch(store, 1)
    for batch in (cancelled, over, sealed, "an_nosuchbatch"):
        before, depth = await keys(store), await depths(store)
        with pytest.raises(Conflict):
            await store.submit(items_of(batch, 1, first=7))
        assert await keys(store) == before
        assert await depths(store) == depth
    assert (await store.batch(over)).counts.total == 1


async def test_a_slice_with_one_refused_job_leaves_no_trace_of_the_others(store: Store) -> None:
    """One script call is one decision, also when its jobs belong to different batches."""
    open_one, shut = await open_batch(store), await sealed_batch(store, 1)
    await store.cancel_batch(shut)
    before = await keys(store)
    with pytest.raises(Conflict):
        await store.submit([make_job(), *items_of(open_one, 2), *items_of(shut, 1, first=5)])
    assert await keys(store) == before
    assert await depths(store) == await recount(store)


async def test_jobs_that_are_there_already_do_not_mind_that_their_batch_is_over(store: Store) -> None:
    """The retry of a submit whose reply was lost, after the batch ended."""
    batch = await sealed_batch(store, 1)
    await Hands(store).do_all()
    assert await store.submit(items_of(batch, 1)) == 0


async def test_a_running_batch_still_takes_what_its_documents_unfold_into(store: Store) -> None:
    batch = await open_batch(store)
    await store.submit([document(batch)])
    await store.seal(batch)
    reader = Hands(store, "reader0", model="read")
    fence = (await reader.take()).fence
    item = fence.job
    assert await store.submit(parts_of(item, batch, 3), fence=fence) == 4
    assert (await store.batch(batch)).counts.total == 1, "only documents count as items"


async def test_more_jobs_than_one_slice_all_go_in(real_store: Store) -> None:
    jobs = [make_job() for _ in range(2 * SLICE + 7)]
    assert await real_store.submit(jobs) == len(jobs)
    assert await depths(real_store) == await recount(real_store)


def test_slices_hold_at_most_100_jobs_and_about_half_a_mebibyte() -> None:
    small = [["x"]] * (2 * SLICE + 1)
    assert [len(part) for part in _slices(small)] == [SLICE, SLICE, 1]
    large = [["y" * (SLICE_BYTES // 2 + 1)]] * 3
    assert [len(part) for part in _slices(large)] == [1, 1, 1]
    assert list(_slices([])) == []


async def test_without_workers_two_jobs_are_made_ready(store: Store) -> None:
    await store.submit([make_job() for _ in range(9)])
    assert await depths(store) == {"batch.noop|queued": 2, "batch.noop|waiting": 7}
    assert len(await ready_hints(store)) == 2
    assert await store.release("batch.noop") == 0


@pytest.mark.parametrize(("slots", "depth"), [((1,), 2), ((4,), 2), ((5,), 3), ((7,), 4), ((7, 4), 6), ((32, 32), 32)])
async def test_half_the_fleets_slots_are_kept_ready(store: Store, slots: Sequence[int], depth: int) -> None:
    """max(2, ceil(slots / 2)), over all workers of the model; those of other models do not count."""
    for n, count in enumerate(slots):
        await Hands(store, f"gpu{n}", slots=count).beat()
    await Hands(store, "reader0", model="read", slots=40).beat()
    await store.submit([make_job() for _ in range(40)])
    assert len(await ready_hints(store)) == depth


async def test_ten_lines_of_a_colleague_are_not_buried_under_thousands(store: Store) -> None:
    """Tenants take turns: five jobs that come after two hundred are done within the next ten or so."""
    await store.submit([make_job(tenant="bulk@lab") for _ in range(200)])
    late = [make_job(tenant="late@lab") for _ in range(5)]
    await store.submit(late)
    order = await Hands(store).do_all()
    assert len(order) == 205
    assert max(order.index(job.id) for job in late) <= 2 + 2 * len(late)


async def test_a_tenants_batches_take_turns_too(store: Store) -> None:
    await sealed_batch(store, 100)
    second = await sealed_batch(store, 5)
    order = await Hands(store).do_all()
    assert max(order.index(job.id) for job in items_of(second, 5)) <= 2 + 2 * 5


async def test_turns_are_measured_in_tokens_not_in_jobs(store: Store) -> None:
    """Somebody whose jobs cost ten times as much gets a tenth of the starts."""
    heavy = [make_job(tenant="heavy@lab", prompt_tokens=1000) for _ in range(30)]
    light = [make_job(tenant="light@lab", prompt_tokens=100) for _ in range(100)]
    await store.submit([*heavy, *light])
    order = (await Hands(store).do_all())[:44]
    share = sum(job.id in set(order) for job in heavy)
    assert 3 <= share <= 6


async def test_one_tenants_jobs_of_one_batch_leave_in_the_order_they_came(store: Store) -> None:
    batch = await sealed_batch(store, 20)
    assert await Hands(store).do_all() == [job.id for job in items_of(batch, 20)]


async def test_a_newcomer_starts_where_the_others_are(store: Store) -> None:
    """It neither pays for time it was not here nor takes everything until it has caught up."""
    await store.submit([make_job(tenant="old@lab") for _ in range(60)])
    hands = Hands(store)
    for _ in range(40):
        await hands.do()
    await store.submit([make_job(tenant="new@lab") for _ in range(18)])
    tenants = [(await hands.take()).tenant for _ in range(2)]
    for _ in range(16):
        await store.release("batch.noop")
        tenants.append((await hands.take()).tenant)
    assert 7 <= tenants.count("new@lab") <= 9


async def test_documents_are_not_read_while_their_batch_has_a_long_backlog(store: Store) -> None:
    """A read job is held back, in its place, until fewer of its batch's jobs wait for the model."""
    batch = await open_batch(store)
    await store.submit([document(batch, n) for n in range(4)])
    reader, gpu = Hands(store, "reader0", model="read"), Hands(store)
    assert [(await reader.take()).fence.job[-2:] for _ in range(2)] == ["-0", "-1"]
    await store.submit(parts_of(f"{batch}-0", batch, 5)[1:])
    assert (await depths(store))["batch.noop|waiting"] == 3

    assert await store.call("release", store.envelope, 3, "batch.read") == [0, 0]
    await gpu.do()
    assert await store.call("release", store.envelope, 3, "batch.read") == [2, 0]
    assert [(await reader.take()).fence.job[-2:] for _ in range(2)] == ["-2", "-3"]


async def test_what_is_held_back_stops_nobody_else(store: Store) -> None:
    """A batch whose parts nobody takes has a long backlog; another batch's documents and all merges go on."""

    async def released() -> set[str]:
        """What goes when a backlog of 3 is long; the ready queue is empty before and after."""
        await store.client.delete(f"{store.prefix}batch.read")
        await store.call("release", store.envelope, 3, "batch.read")
        return {hint.job for hint in await ready_hints(store, "batch.read")}

    big, small = await open_batch(store, tenant="big@lab"), await open_batch(store, tenant="small@lab")
    away = items_of(big, 6, first=20, tenant="big@lab", model="gone")
    await store.submit([job.model_copy(update={"item": f"{big}-9"}) for job in away])
    await store.submit([document(big, n, model="gone", tenant="big@lab") for n in range(8)])
    await store.submit([document(small, n, tenant="small@lab") for n in range(8)])
    gone = await released()
    assert len(gone) == 2
    assert all(job.startswith(small) for job in gone)

    await store.submit([job.model_copy(update={"tenant": "big@lab"}) for job in parts_of(f"{big}-0", big, 2)])
    gpu = Hands(store)
    await gpu.do()
    await gpu.do()
    assert f"{big}-0m0" in await released()


async def test_documents_are_read_whatever_others_have_waiting(store: Store) -> None:
    """Jobs of another tenant, and of a batch that is paused; only a crowd of them makes a batch read less far."""
    await store.submit([make_job(tenant="bob@lab") for _ in range(110)])
    paused = await sealed_batch(store, 110)
    await store.pause(paused)
    batch = await open_batch(store, tenant="cora@lab")
    await store.submit([document(batch, n, tenant="cora@lab") for n in range(4)])
    await store.client.delete(f"{store.prefix}batch.read")
    await upkeep(store).mend()
    reader = Hands(store, "reader0", model="read")
    assert [(await reader.take()).fence.job for _ in range(2)] == [f"{batch}-0", f"{batch}-1"]

    (part,) = parts_of(f"{batch}-0", batch, 1)[1:]
    await store.submit([part.model_copy(update={"tenant": "cora@lab"})])
    assert await store.call("release", store.envelope, 10, "batch.read") == [0, 0], "over 200 wait: 20 times 10"
    await store.cancel_batch(paused)
    assert len(await ready_hints(store, "batch.read")) == 2


async def test_merges_go_on_however_many_analyses_are_held_back(store: Store) -> None:
    """They stand apart: the one merge is not the last of sixty groups whose reads wait."""
    mine = await open_batch(store, tenant="zed@lab")
    parts = [job.model_copy(update={"tenant": "zed@lab"}) for job in parts_of(f"{mine}-0", mine, 1)]
    await store.submit(parts)
    last = await Hands(store).take()
    for n in range(60):
        who = f"t{n}@lab"
        batch = await open_batch(store, tenant=who)
        await store.submit([job.model_copy(update={"tenant": who}) for job in parts_of(f"{batch}-1", batch, 2)])
        await store.submit([document(batch, tenant=who)])
    await store.client.delete(f"{store.prefix}batch.read")
    await Hands(store).commit(last.fence)
    await store.call("release", store.envelope, 1, "batch.read")
    assert (await ready_hints(store, "batch.read"))[0].job == f"{mine}-0m0"


async def test_short_documents_pass_the_parts_of_a_very_long_one(store: Store) -> None:
    """They were submitted later, in the same batch; nor does the long one's backlog keep others from being read."""
    batch = await open_batch(store)
    await store.submit([document(batch, n) for n in range(3)])
    head, *parts = parts_of(f"{batch}-0", batch, 12)
    await store.submit([head, *(part.model_copy(update={"bulk": True}) for part in parts)])
    head, *short = parts_of(f"{batch}-1", batch, 1)
    await store.submit([head, *short])
    hands = Hands(store)
    order = [await hands.do() for _ in range(6)]
    assert order.index(short[0].id) <= 3, "only what was released already may come first"
    assert (await depths(store))["batch.noop|bulk"] == (await depths(store))["batch.noop|waiting"]

    await store.client.delete(f"{store.prefix}batch.read")
    await store.call("release", store.envelope, 3, "batch.read")
    assert await ready_hints(store, "batch.read")


async def test_what_is_held_back_in_one_lane_does_not_hold_the_other(store: Store) -> None:
    batch = await open_batch(store)
    await store.submit([document(batch, 0, lane=Lane.INTERACTIVE), document(batch, 1)])
    await store.submit([make_job() for _ in range(5)])
    await Hands(store, "reader0", model="read").take(Lane.INTERACTIVE)


async def test_hints_name_their_job_its_next_attempt_and_a_number_of_their_own(store: Store) -> None:
    """Workers remember revoked ids and kombu keys on the tag: no two hints may share one."""
    job = make_job()
    await store.submit([job])
    hands, seen = Hands(store), []
    for verdict in (Verdict.RETRY, Verdict.GIVE_BACK, Verdict.GIVE_BACK):
        (hint,) = await ready_hints(store)
        seen.append(hint)
        await hands.do(verdict)
    assert [(hint.job, hint.attempt, hint.n) for hint in seen] == [(job.id, 1, 1), (job.id, 2, 2), (job.id, 3, 3)]


async def test_a_job_that_waits_for_others_has_no_hint(store: Store) -> None:
    batch = await open_batch(store)
    head, *_ = parts_of(f"{batch}-0", batch, 2)
    await store.submit([head])
    assert await ready_hints(store, "batch.read") == []
    assert await depths(store) == {"batch.read|waiting": 1}


async def test_a_batch_is_opened_once_and_sealed_once(store: Store) -> None:
    """Both may be repeated; what came between is kept."""
    batch = await open_batch(store, total=9)
    status = await store.batch(batch)
    assert (status.state, status.counts.total, status.finished) == (BatchState.UPLOADING, 9, False)
    await store.submit(items_of(batch, 2))
    await store.open_batch(id=batch, tenant="eve", lane=Lane.INTERACTIVE, model="other", task="ask", total=1)
    await store.seal(batch)
    await store.seal(batch)
    status = await store.batch(batch)
    assert (status.state, status.counts.total) == (BatchState.RUNNING, 2)
    assert (status.tenant, status.model, status.task) == ("anna@lab", "noop", "summarize")


async def test_an_empty_batch_is_over_when_it_is_sealed(store: Store) -> None:
    batch = await open_batch(store)
    await store.seal(batch)
    status = await store.batch(batch)
    assert (status.state, status.counts.settled) == (BatchState.COMPLETED, 0)
    assert status.expires_ms is not None


async def test_a_batch_whose_items_all_end_during_the_upload_ends_when_it_is_sealed(store: Store) -> None:
    batch = await open_batch(store, total=3)
    await store.submit(items_of(batch, 3))
    await Hands(store).do_all()
    status = await store.batch(batch)
    assert (status.state, status.expires_ms) == (BatchState.UPLOADING, None)
    await store.seal(batch)
    assert (await store.batch(batch)).state is BatchState.COMPLETED


async def test_sealing_a_batch_that_is_not_there_makes_none(store: Store) -> None:
    await store.seal("an_nosuchbatch")
    assert await keys(store) == []


async def test_an_idempotency_key_stands_for_one_request_of_one_tenant(store: Store) -> None:
    """The same key and body: the earlier id. Another body: a conflict. Another tenant: another key."""
    one = {"tenant": "anna@lab", "key": "k1"}
    assert await store.admit(**one, fingerprint="body", id="an_1") == "an_1"
    assert await store.admit(**one, fingerprint="body", id="an_2") == "an_1"
    with pytest.raises(Conflict):
        await store.admit(**one, fingerprint="other body", id="an_3")
    assert await store.admit(tenant="bob@lab", key="k1", fingerprint="other body", id="an_4") == "an_4"
    assert await store.admit(tenant="anna@lab", key="k2", fingerprint="body", id="an_5") == "an_5"


async def test_an_idempotency_key_is_forgotten_after_a_day(store: Store) -> None:
    await store.admit(tenant="anna@lab", key="k", fingerprint="f", id="an_1")
    (name,) = await keys(store, "idem:*")
    left_ms = await store.client.pttl(store.prefix + name)
    assert 23 * 3_600_000 < left_ms <= 24 * 3_600_000


async def test_records_say_which_schema_they_are_of(store: Store) -> None:
    """The oldest that will do."""
    filled = StepInput(task=AnalysisTask.EXTRACT, options=TaskOptions(json_schema={"type": "object"}), text="x")
    plain, second, new = make_job(), make_job(input=CompletionInput(prompt="x")), make_job(input=filled)
    await store.submit([plain, second, new])
    assert [await field(store, job.id, "schema") for job in (plain, second, new)] == ["1", "2", "3"]


async def test_many_submitters_at_once_lose_and_double_nothing(real_store: Store) -> None:
    """Forty retries of the same ten jobs from ten tasks."""
    jobs: list[Job] = [make_job() for _ in range(10)]

    async def insist() -> int:
        return sum([await real_store.submit(jobs) for _ in range(4)])

    assert sum(await asyncio.gather(*(insist() for _ in range(10)))) == 10
    assert await depths(real_store) == await recount(real_store)


async def test_a_store_without_redis_says_so_in_one_line(real_store: Store) -> None:
    """No client's error, and no address with a password, reaches the caller."""
    gone = connect("redis://:hunter2@127.0.0.1:1/0", decode_responses=True)
    other = Store(gone, fleet="x", prefix="x:", envelope=real_store.envelope, blobs=real_store.blobs, ttl_ms=0)
    questions = (other.ping(), other.submit([make_job()]), other.job("job_x"), other.call_many([Call("admit", ())]))
    for question in questions:
        with pytest.raises(StoreUnavailable) as caught:
            await question
        assert "hunter2" not in str(caught.value)
        assert "\n" not in str(caught.value)
    await other.close()
