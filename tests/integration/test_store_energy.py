"""What cards used, as the scripts add it up: by job, document, batch, tenant and worker, and never twice."""

from __future__ import annotations

from typing import Any

import pytest

from tests.hands import Hands, document, field, items_of, open_batch, parts_of, sealed_batch, upkeep
from tests.workers import make_job
from viiwork.jobs import Fault, Job, Row, Settle, State
from viiwork.power.energy import Energy
from viiwork.store import Store
from viiwork.store.gauges import surveyed
from viiwork.store.items import retry_failed
from viiwork.store.leases import Claim, Verdict, commit_call
from viiwork.store.meters import Unclaimed, by_tenant, by_worker, of_fleet
from viiwork.work import Answer, Usage

UNKNOWN = Energy()
MISFIT = Fault(code="invalid_output", message="The answer is no JSON.")
WORKER = "gpu0@here"


async def end(
    store: Store, claim: Claim, energy: Energy | None, verdict: Verdict = Verdict.SUCCEEDED, *, max_attempts: int = 4
) -> str:
    """`ok` or `fenced`."""
    answer = Answer(text="done") if verdict is Verdict.SUCCEEDED else None
    call = await commit_call(store, claim.fence, verdict, answer, max_attempts=max_attempts, energy=energy)
    said = str((await store.call(call.script, *call.args))[0])
    await store.release("batch.noop", "batch.read")
    return said


def joules(known: float, *, unknown_s: float = 0.0) -> Energy:
    return Energy(known, 1.0, unknown_s)


async def working(store: Store, name: str = "gpu0") -> Hands:
    hands = Hands(store, name)
    await hands.beat()
    return hands


async def test_a_claim_says_what_its_job_weighs_beside_others(store: Store) -> None:
    hands = await working(store)
    await store.submit([make_job(prompt_tokens=100, max_output_tokens=20)])
    assert (await hands.take()).cost_tokens == 120


async def test_jobs_add_up_to_their_batch_their_tenant_and_their_worker(store: Store) -> None:
    hands = await working(store)
    batch = await sealed_batch(store, 3, tenant="anna@lab")
    for used in (100.0, 200.5, 0.25):
        await end(store, await hands.take(), joules(used))
    status = await store.batch(batch)
    assert (status.energy_j, status.energy_unknown_jobs) == (300.75, 0)
    assert [row.energy_j async for row in store.rows(batch)] == [100.0, 200.5, 0.25]
    assert await by_tenant(store) == {"jobs": {"anna@lab": 300_750}}
    assert await by_worker(store) == {"jobs": {WORKER: 300_750}}
    fleet = await of_fleet(store)
    assert fleet is not None
    assert (fleet.energy_j, fleet.jobs_j, fleet.idle_j, fleet.energy_unknown_jobs) == (300.75, 300.75, None, 0)


async def test_what_nobody_measured_is_unknown_and_what_was_measured_in_part_is_at_least(store: Store) -> None:
    hands = await working(store)
    batch = await sealed_batch(store, 3)
    for used in (UNKNOWN, joules(50.0, unknown_s=2.0), joules(8.0)):
        await end(store, await hands.take(), used)
    status = await store.batch(batch)
    assert (status.energy_j, status.energy_unknown_jobs) == (58.0, 2)
    rows = [(row.energy_j, row.energy_unknown_jobs) async for row in store.rows(batch)]
    assert rows == [(None, 1), (50.0, 1), (8.0, 0)]
    assert (await by_tenant(store))["unknown"] == {"anna@lab": 2}


async def test_a_batch_of_which_nothing_was_measured_has_no_figure(store: Store) -> None:
    hands = await working(store)
    batch = await sealed_batch(store, 1)
    await end(store, await hands.take(), UNKNOWN)
    status = await store.batch(batch)
    assert (status.energy_j, status.energy_unknown_jobs) == (None, 1)


async def test_a_job_that_never_ran_used_nothing_and_that_is_known(store: Store) -> None:
    """Its input was gone, or its worker left before it began."""
    hands = await working(store)
    batch = await sealed_batch(store, 1)
    await end(store, await hands.take(), None, Verdict.GIVE_BACK)
    await store.release("batch.noop")
    await end(store, await hands.take(), joules(5.0))
    status = await store.batch(batch)
    assert (status.energy_j, status.energy_unknown_jobs) == (5.0, 0)


@pytest.mark.parametrize("verdict", [Verdict.GIVE_BACK, Verdict.CRASHED])
async def test_attempts_that_came_to_nothing_count_for_the_job_they_were_spent_on(
    store: Store, verdict: Verdict
) -> None:
    hands = await working(store)
    batch = await sealed_batch(store, 1)
    await end(store, await hands.take(), joules(30.0), verdict)
    await store.release("batch.noop")
    await end(store, await hands.take(), joules(12.0))
    status = await store.batch(batch)
    assert (status.energy_j, status.energy_unknown_jobs) == (42.0, 0)
    assert [row.energy_j async for row in store.rows(batch)] == [42.0]


async def test_what_a_dead_job_used_is_told_too(store: Store) -> None:
    hands = await working(store)
    await store.submit([job := make_job()])
    await end(store, await hands.take(), joules(30.0), Verdict.RETRY, max_attempts=1)
    status = await store.job(job.id)
    assert (status.state, status.energy_j) == (State.DEAD, 30.0)


async def test_the_same_commit_again_adds_nothing(store: Store) -> None:
    """Its reply was lost."""
    hands = await working(store)
    batch = await sealed_batch(store, 1)
    claim = await hands.take()
    for _ in range(3):
        assert await end(store, claim, joules(10.0)) == "ok"
    assert (await store.batch(batch)).energy_j == 10.0
    assert (await by_worker(store)) == {"jobs": {WORKER: 10_000}}


async def test_a_commit_that_has_lost_its_fence_adds_nothing(store: Store) -> None:
    """Its worker was given up meanwhile: nobody can say what that attempt used, so the job is known in part."""
    hands, other = await working(store), await working(store, "gpu1")
    batch = await sealed_batch(store, 1)
    lost = await hands.take()
    await upkeep(store).reap(hands.card.incarnation)
    await store.release("batch.noop")
    assert await end(store, await other.take(), joules(7.0)) == "ok"
    assert await end(store, lost, joules(90.0)) == "fenced"
    status = await store.batch(batch)
    assert (status.energy_j, status.energy_unknown_jobs) == (7.0, 1)
    assert await by_worker(store) == {"jobs": {"gpu1@here": 7000}, "unknown": {WORKER: 1}}


async def test_a_job_that_loses_two_workers_is_one_unknown_job(store: Store) -> None:
    batch = await sealed_batch(store, 1)
    for name in ("gpu0", "gpu1"):
        hands = await working(store, name)
        await store.release("batch.noop")
        await hands.take()
        await upkeep(store).reap(hands.card.incarnation, crashed=False)
    assert (await store.batch(batch)).energy_unknown_jobs == 1


async def test_a_running_job_that_is_cancelled_is_unknown_to_its_batch(store: Store) -> None:
    """What it used its worker counts as lost."""
    hands = await working(store)
    batch = await sealed_batch(store, 1)
    claim = await hands.take()
    await store.cancel_batch(batch)
    assert await end(store, claim, joules(90.0)) == "fenced"
    assert ((await store.batch(batch)).energy_j, (await store.batch(batch)).energy_unknown_jobs) == (None, 1)


async def test_a_document_has_what_all_its_parts_used(store: Store) -> None:
    """And neither its reading nor its merge, which use no card, are missing from it."""
    reader, hands = Hands(store, "reader0", model="read"), await working(store)
    await reader.beat()
    batch = await open_batch(store, total=1)
    item = document(batch)
    await store.submit([item])
    await store.seal(batch)
    reading = await reader.take()
    merge, *parts = parts_of(item.id, batch, 3)
    await store.submit([merge, *parts], fence=reading.fence)
    await end(store, reading, UNKNOWN, Verdict.CONTINUES)
    await store.release("batch.noop")
    for used in (joules(10.0), joules(20.0), UNKNOWN):
        await end(store, await hands.take(), used)
    await store.release("batch.read")
    await end(store, await reader.take(), UNKNOWN)
    (row,) = [row async for row in store.rows(batch)]
    status = await store.batch(batch)
    assert (row.energy_j, row.energy_unknown_jobs) == (30.0, 1)
    assert (status.energy_j, status.energy_unknown_jobs) == (30.0, 1)
    assert [(await store.job(part.id)).energy_j for part in parts] == [10.0, 20.0, None]


async def test_what_simulated_cards_used_is_known_by_it(store: Store) -> None:
    """In the job, the document, the batch and the fleet; what real ones used is not."""
    hands = await working(store)
    batch = await sealed_batch(store, 2)
    await end(store, await hands.take(), Energy(5.0, 1.0))
    assert (await store.batch(batch)).energy_simulated is None
    await end(store, await hands.take(), Energy(5.0, 1.0, simulated=True))
    assert [row.energy_simulated async for row in store.rows(batch)] == [None, True]
    assert (await store.batch(batch)).energy_simulated
    fleet = await of_fleet(store)
    assert fleet is not None
    assert (fleet.energy_j, fleet.energy_simulated) == (10.0, True)
    await store.submit([alone := make_job()])
    assert await end(store, await hands.take(), Energy(5.0, 1.0, simulated=True)) == "ok"
    assert (await store.job(alone.id)).energy_simulated


async def test_a_job_without_a_batch_has_its_own(store: Store) -> None:
    hands = await working(store)
    await store.submit([job := make_job()])
    await end(store, await hands.take(), joules(3.0))
    assert (await store.job(job.id)).energy_j == 3.0


async def test_records_of_earlier_versions_have_no_energy(store: Store) -> None:
    """And a commit of an earlier worker, whose script says nothing of it, makes none."""
    hands = await working(store)
    batch = await sealed_batch(store, 1)
    await hands.commit((await hands.take()).fence)
    for name in ("energy_mj", "unmetered", "energy_unknown"):
        await store.client.hdel(f"{store.prefix}batch:{batch}", name)
    status = await store.batch(batch)
    assert (status.energy_j, status.energy_unknown_jobs) == (None, 0)


async def test_what_no_job_is_charged_with_comes_with_the_beats_and_once(store: Store) -> None:
    """They tell sums: one that comes twice, or late from a life that was given up, adds what is new and no more."""
    hands = await working(store)

    async def beat(*numbers: int) -> dict[str, Any]:
        queues = ["batch.noop"]
        told = Unclaimed(*numbers)
        await upkeep(store).beat(hands.card, queues=queues, in_flight={}, held=[], unclaimed=told)
        return dict(await by_worker(store))

    await beat(1000, 0, 50)
    assert await beat(1000, 0, 50) == {"idle": {WORKER: 1000}, "unmeasured": {WORKER: 50}}
    await beat(1500, 70, 50)
    await upkeep(store).reap(hands.card.incarnation)
    again = await beat(1600, 70, 50)
    assert again == {"idle": {WORKER: 1600}, "lost": {WORKER: 70}, "unmeasured": {WORKER: 50}}
    hands.card = hands.card.model_copy(update={"incarnation": "gpu0-another"})
    assert (await beat(100, 0, 0))["idle"] == {WORKER: 1700}
    fleet = await of_fleet(store)
    assert fleet is not None
    assert (fleet.energy_j, fleet.idle_j, fleet.lost_j, fleet.unmeasured_s) == (1.77, 1.7, 0.07, 0.05)


async def test_a_worker_without_cards_writes_nothing(store: Store) -> None:
    await working(store)
    assert await by_worker(store) == {}
    assert await of_fleet(store) is None


async def test_the_fleet_shows_what_each_submitter_used(store: Store) -> None:
    hands = await working(store)
    await store.submit([make_job(tenant="anna@lab"), make_job(tenant="ben@lab"), make_job(tenant="ben@lab")])
    await end(store, await hands.take(), joules(60.0))
    shown = await surveyed(store, await store.fleet())
    first, second = shown.tenants
    assert {first.unfinished, second.unfinished} == {2, 0} or {first.unfinished, second.unfinished} == {1}
    assert sorted((load.energy_j or 0.0) for load in shown.tenants) == [0.0, 60.0]
    assert shown.energy is not None
    assert shown.energy.jobs_j == 60.0


async def test_more_submitters_than_are_kept_apart_are_counted_together(fake_store: Store) -> None:
    """Names are cheap: they must not fill the server."""
    store = fake_store
    await store.client.hset(f"{store.prefix}energy.tenants", mapping={f"jobs|t{n}": 1000 for n in range(2000)})
    hands = await working(store)
    await store.submit([make_job(tenant="late@lab"), make_job(tenant="t5")])
    for _ in range(2):
        await end(store, await hands.take(), joules(2.0))
    jobs = (await by_tenant(store))["jobs"]
    assert (jobs["(others)"], jobs["t5"], len(jobs)) == (2000, 3000, 2001)


async def test_a_part_that_ends_after_its_document_was_cleared_away_makes_no_record_of_nothing_else(
    store: Store,
) -> None:
    hands = await working(store)
    batch = await open_batch(store, total=1)
    (part,) = items_of(batch, 1, item=f"{batch}-7", settle=Settle.NEVER)
    await store.submit([part])
    assert await end(store, await hands.take(), joules(2.0)) == "ok"
    assert await field(store, f"{batch}-7", "energy_mj") is None


@pytest.mark.parametrize("said", ["-5", "nan", "1e300", "x"])
async def test_a_figure_that_is_none_stops_no_commit(store: Store, said: str) -> None:
    hands = await working(store)
    job: Job = make_job()
    await store.submit([job])
    claim = await hands.take()
    call = await commit_call(store, claim.fence, Verdict.SUCCEEDED, Answer(text="x"), max_attempts=4)
    assert (await store.call(call.script, *call.args[:-3], said, 1, 0))[0] == "ok"
    assert (await store.job(job.id)).energy_j in (None, 1e9)


async def test_what_calls_took_is_told_by_the_row_also_of_a_document_that_failed_and_was_tried_again(
    store: Store,
) -> None:
    """Rows add up to their batch, and a row that came to nothing names the engine that was asked."""
    reader, hands = Hands(store, "reader0", model="read"), await working(store)
    await reader.beat()
    batch = await open_batch(store, total=1)
    item = document(batch)
    await store.submit([item])
    await store.seal(batch)
    who = {"model": "noop", "engine": "vLLM", "revision": "abc", "engine_version": ""}
    took = Usage(prompt_tokens=100, output_tokens=7)

    async def life(generation: str, verdict: Verdict) -> Row:
        await store.release("batch.read")
        reading = await reader.take()
        merge, *parts = parts_of(item.id, batch, 2, generation=generation)
        await store.submit([merge, *parts], fence=reading.fence)
        await end(store, reading, None, Verdict.CONTINUES)
        ends = ((verdict, MISFIT), (Verdict.SUCCEEDED, Answer(text="x", usage=took)))
        for ended, said in ends:
            await store.release("batch.noop")
            fence = (await hands.take()).fence
            call = await commit_call(store, fence, ended, said, max_attempts=4, usage=took, made_by=who)
            await store.call(call.script, *call.args)
        await store.release("batch.read")
        done = Answer(text="all", model="noop", engine="vLLM", usage=took + took)
        said = MISFIT if verdict is Verdict.FAILED else done
        call = await commit_call(store, (await reader.take()).fence, verdict, said, max_attempts=4)
        await store.call(call.script, *call.args)
        (row,) = [row async for row in store.rows(batch)]
        return row

    failed = await life("", Verdict.FAILED)
    assert (failed.calls, failed.usage) == (2, took + took)
    assert failed.made is not None
    assert (failed.made.model, failed.made.engine, failed.made.revision) == ("noop", "vLLM", "abc")
    assert failed.made.engine_version is None
    await retry_failed(store, batch)
    good = await life("1", Verdict.SUCCEEDED)
    status = await store.batch(batch)
    assert (good.calls, good.usage) == (status.calls, status.usage) == (4, took + took + took + took)
    assert good.answer is not None
    assert good.answer.usage == took + took
    assert await field(store, item.id, "made_by") is None, "an answer says itself who gave it"
