"""The store under random moves of submitters, workers, killers and cancellers: what must hold after every one."""

from __future__ import annotations

import asyncio
import tempfile
from collections import Counter
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

import fakeredis
import hypothesis.strategies as st
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.hands import Hands, depths, field, items_of, keys, open_batch, parts_of, ready_hints, recount, upkeep
from tests.workers import make_job
from viiwork.errors import Conflict
from viiwork.jobs import TERMINAL, BatchState, Lane, Settle
from viiwork.limits import Account, Limits
from viiwork.queues import HintId, make_envelope
from viiwork.store import BlobStore, Fence, Store
from viiwork.store.accounts import Tab
from viiwork.store.leases import Claim, Verdict

T = TypeVar("T")
ENVELOPE = make_envelope()
QUEUES = ("batch.noop", "interactive.noop", "batch.read")
ENDING = (Verdict.SUCCEEDED, Verdict.FAILED, Verdict.EXPIRED, Verdict.CONTINUES)
FINAL = {state.value for state in TERMINAL}
BLOBS = Path(tempfile.gettempdir()) / "no-blob-is-written-here"
which = st.integers(0, 10_000)


def tab_of(tenant: str) -> Tab:
    """An account that bounds everything, and nothing that is tried here."""
    most = 10**8
    own = {f"{lane}_{name}": most for lane in Lane for name in ("tokens_per_minute", "in_flight", "backlog")}
    return Tab(Account(tenant, f"key_of_{tenant}", own=Limits.model_validate({**own, "monthly_tokens": most})))


class StoreMachine(RuleBasedStateMachine):
    """Two engine workers and a reader, whose hints and claims may be late, lost or repeated."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.client = fakeredis.FakeAsyncRedis(decode_responses=True)
        blobs = BlobStore(BLOBS)
        self.store = Store(
            self.client, fleet="m", prefix="m:", envelope=ENVELOPE, blobs=blobs, ttl_ms=3_600_000, headers=False
        )
        self.crew: list[tuple[Hands, Lane]] = []
        self.jobs: list[str] = []
        self.batches: list[str] = []
        self.hints: list[tuple[HintId, int]] = []
        self.fences: list[tuple[Fence, int]] = []
        self.ends: dict[str, str] = {}
        self.accepted: Counter[str] = Counter()
        self.documents: dict[str, tuple[str, int]] = {}
        self.submitted = 0

    def do(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(coroutine)

    def teardown(self) -> None:
        """Left to itself with a worker that works, the fleet comes to an end of everything."""
        self.do(self._run_to_the_end())
        self.everything_adds_up()
        self.do(self.client.aclose())
        self.runner.close()

    @initialize(parts=st.integers(1, 3))
    def start(self, parts: int) -> None:
        """With a document that is unfolded already: random moves seldom get that far."""
        self.crew = [
            (Hands(self.store, "gpu0", slots=3), Lane.BATCH),
            (Hands(self.store, "gpu1", slots=6), Lane.INTERACTIVE),
            (Hands(self.store, "reader0", model="read", slots=2), Lane.BATCH),
        ]
        for hands, _ in self.crew:
            self.do(hands.beat())
        self.open_a_batch()
        self.submit_a_document(at=0, parts=parts)
        self.take_the_next(at=0)

    # Submitters

    @rule(lane=st.sampled_from(Lane), tenant=st.sampled_from(("anna@lab", "bob:x")), count=st.integers(1, 4))
    def submit_lone_jobs(self, lane: Lane, tenant: str, count: int) -> None:
        jobs = [make_job(lane=lane, tenant=tenant, deadline_s=3600.0 if n == 1 else None) for n in range(count)]
        assert self.do(self.store.submit(jobs, tab=tab_of(tenant))) == count
        assert self.do(self.store.submit(jobs, tab=tab_of(tenant))) == 0
        self.jobs += [job.id for job in jobs]

    @precondition(lambda self: len(self.batches) < 3)
    @rule()
    def open_a_batch(self) -> None:
        self.batches.append(self.do(open_batch(self.store)))

    @precondition(lambda self: self.batches)
    @rule(at=which, count=st.integers(1, 3))
    def submit_items(self, at: int, count: int) -> None:
        batch = self.batches[at % len(self.batches)]
        self.submitted += 1
        self._submit(batch, items_of(batch, count, first=1000 * self.submitted))

    @precondition(lambda self: self.batches)
    @rule(at=which, parts=st.integers(1, 3))
    def submit_a_document(self, at: int, parts: int) -> None:
        """Whoever claims it unfolds it into its parts and their merge."""
        batch = self.batches[at % len(self.batches)]
        self.submitted += 1
        item = f"{batch}-{1000 * self.submitted}"
        self.documents[item] = (batch, parts)
        self._submit(batch, [make_job(id=item, batch=batch, settle=Settle.ON_FAILURE)])

    @precondition(lambda self: self.batches)
    @rule(at=which)
    def seal_a_batch(self, at: int) -> None:
        self.do(self.store.seal(self.batches[at % len(self.batches)]))

    # Workers

    @rule(at=which)
    def pop_a_hint(self, at: int) -> None:
        hands, lane = self.crew[at % len(self.crew)]
        hint = self.do(hands.pop(lane))
        if hint is not None:
            self.hints.append((hint, at % len(self.crew)))

    @rule(at=which)
    def take_the_next(self, at: int) -> None:
        self.pop_a_hint(at)
        if self.hints:
            self.claim(len(self.hints) - 1)

    @precondition(lambda self: self.hints)
    @rule(at=which)
    def claim(self, at: int) -> None:
        hint, owner = self.hints[at % len(self.hints)]
        before = self._state(hint.job)
        claim = self.do(self.crew[owner][0].claim(hint))
        if isinstance(claim, Claim):
            assert before == "queued", "only a released job can be had"
            self.fences.append((claim.fence, owner))
            self._unfold(claim)

    @precondition(lambda self: self.fences)
    @rule(at=which, verdict=st.sampled_from([one for one in Verdict if one is not Verdict.UNFOLDS]))
    def commit(self, at: int, verdict: Verdict) -> None:
        fence, owner = self.fences[at % len(self.fences)]
        if verdict in (Verdict.SUCCEEDED, Verdict.CONTINUES):
            verdict = self._success_of(fence.job)
        before = self._state(fence.job)
        answer, state = self.do(self.crew[owner][0].commit(fence, verdict, max_attempts=2))
        if answer == "ok" and before == "running" and verdict in ENDING:
            self.accepted[fence.job] += 1
            assert state in FINAL

    @precondition(lambda self: self.fences)
    @rule(at=which)
    def commit_what_is_held(self, at: int) -> None:
        self.commit(at, Verdict.SUCCEEDED)

    @rule(at=which, forget=st.booleans())
    def beat(self, at: int, forget: bool) -> None:
        owner = at % len(self.crew)
        held = [] if forget else [fence for fence, whose in self.fences if whose == owner]
        lost = self.do(self.crew[owner][0].beat(*held))
        assert all(self._state(job) == state for job, state in lost.items())

    @rule(at=which, crashed=st.booleans())
    def kill_a_worker(self, at: int, crashed: bool) -> None:
        """It is reaped; what it still holds it will try to commit all the same."""
        self.do(upkeep(self.store).reap(self.crew[at % len(self.crew)][0].card.incarnation, crashed=crashed))

    # Others

    @rule()
    def let_pauses_end(self) -> None:
        self.do(self._end_pauses())

    async def _make_due(self, key: str, member: str) -> None:
        await self.client.zadd(f"{self.store.prefix}{key}", {member: 0})

    async def _end_pauses(self) -> None:
        for job in await self._members("delayed"):
            await self._make_due("delayed", job)
        await upkeep(self.store).mend()

    @rule(at=which)
    def pass_a_deadline(self, at: int) -> None:
        due = self.do(self._members("deadlines"))
        if due:
            self.do(self._make_due("deadlines", due[at % len(due)]))
            self.do(upkeep(self.store).sweep())

    @precondition(lambda self: self.batches)
    @rule(at=which, act=st.sampled_from(("pause", "resume", "weigh")))
    def steer_a_batch(self, at: int, act: str) -> None:
        batch = self.batches[at % len(self.batches)]
        weight = ("4.0", "high") if act == "weigh" else ()
        state = self.do(self.store.call("steer", act, batch, *weight))
        if act == "pause" and state in ("running", "uploading"):
            for queue in QUEUES:
                for hint in self.do(ready_hints(self.store, queue)):
                    assert self.do(field(self.store, hint.job, "batch")) != batch or self._state(hint.job) != "queued"

    @rule(at=which)
    def retry_a_dead_job(self, at: int) -> None:
        dead = [status.id for status in self.do(self.store.dead())]
        if dead:
            before = self.ends.pop(dead[at % len(dead)])
            state, *started = self.do(self.store.call("retry", dead[at % len(dead)]))
            if not started:
                self.ends[dead[at % len(dead)]] = before
            elif state == "waiting":
                self.ends.pop(started[0], None)
                self.accepted[started[0]] = 0  # a life of its own
            else:
                self.ends[dead[at % len(dead)]] = before

    @rule(queue=st.sampled_from(QUEUES))
    def release(self, queue: str) -> None:
        self.do(self.store.release(queue))

    @rule()
    def mend(self) -> None:
        """Afterwards every released job has a hint of its next attempt in the ready queue."""
        self.do(upkeep(self.store).mend())
        offered = {(hint.job, hint.attempt) for queue in QUEUES for hint in self.do(ready_hints(self.store, queue))}
        for job, record in self.do(self._records()).items():
            if record["state"] == "queued":
                assert (job, int(record.get("attempt", 0)) + 1) in offered

    @precondition(lambda self: self.jobs)
    @rule(at=st.one_of(which, st.integers(0, 4)))
    def cancel_a_job(self, at: int) -> None:
        job = self.jobs[at % len(self.jobs)]
        assert self.do(self.store.cancel(job)).value in FINAL

    @precondition(lambda self: self.batches)
    @rule(at=which, swept=st.booleans())
    def cancel_a_batch(self, at: int, swept: bool) -> None:
        batch = self.batches[at % len(self.batches)]
        if swept:
            assert self.do(self.store.cancel_batch(batch)).finished
        else:
            self.do(self.store.call("batch", "cancel", batch))

    @rule()
    def sweep(self) -> None:
        self.do(upkeep(self.store).sweep())

    # What must hold

    @invariant()
    def everything_adds_up(self) -> None:
        self.do(self._check())

    async def _check(self) -> None:
        records = await self._records()
        assert sorted(records) == sorted(self.jobs), "no record of nothing, and none lost"
        for job, end in self.ends.items():
            assert records[job]["state"] == end, "what has ended stays as it ended"
        self.ends = {job: record["state"] for job, record in records.items() if record["state"] in FINAL}
        assert all(count == 1 for count in self.accepted.values())
        assert all(int(record.get("commits", 0)) <= 1 for record in records.values())
        assert await depths(self.store) == await recount(self.store)
        await self._check_sets(records)
        self._check_countdowns(records)
        await self._check_accounts(records)
        for batch in self.batches:
            await self._check_batch(batch, records)

    async def _check_sets(self, records: dict[str, dict[str, str]]) -> None:
        """Who is released and who runs stands in one place each, and agrees with the records."""
        queued = {job for job, record in records.items() if record["state"] == "queued"}
        running = {job for job, record in records.items() if record["state"] == "running"}
        assert {job for key in await keys(self.store, "released:*") for job in await self._members(key)} == queued
        assert {job for key in await keys(self.store, "inc:*:running") for job in await self._members(key)} == running
        await self._check_waiting(records)
        await self._check_suspects(records)
        suspects = {job for job in queued | running if records[job].get("suspect")}
        out = [await self.client.smembers(self.store.prefix + key) for key in await keys(self.store, "suspects.out:*")]
        assert set().union(*out) == suspects
        holders = [records[job]["inc"] for job in suspects & running]
        assert len(holders) == len(set(holders)), "a worker holds one suspect at a time"

    async def _check_accounts(self, records: dict[str, dict[str, str]]) -> None:
        """What has not ended is held and reserved, and nothing else is: every end settles, whichever script it was."""
        going_on = {job: record for job, record in records.items() if record["state"] not in FINAL}
        held = [await self.client.smembers(self.store.prefix + key) for key in await keys(self.store, "held:*")]
        assert sorted(job for some in held for job in some) == sorted(going_on)
        reserved = sum(int(record["reserved"].split()[1]) for record in going_on.values() if "reserved" in record)
        assert not [job for job, record in records.items() if "reserved" in record and job not in going_on]
        spent = [await self.client.hvals(self.store.prefix + key) for key in await keys(self.store, "month:*")]
        assert sum(int(tokens) for some in spent for tokens in some) == reserved

    async def _check_suspects(self, records: dict[str, dict[str, str]]) -> None:
        """Who is told of as a suspect is one, and has not ended: of a queue, and of a batch."""
        by_queue: Counter[str] = Counter()
        by_batch: Counter[str] = Counter()
        for record in records.values():
            if record.get("suspect") and record["state"] not in FINAL:
                by_queue[record["queue"]] += 1
                by_batch[record.get("batch", "")] += 1
        told = {f"{depth.lane.value}.{depth.model}": depth.suspects for depth in (await self.store.fleet()).queues}
        assert Counter(told) == by_queue
        for batch in self.batches:
            assert (await self.store.batch(batch)).suspects == by_batch[batch]

    async def _check_waiting(self, records: dict[str, dict[str, str]]) -> None:
        """What waits stands in one place from which it will be taken; the load of a tenant is what has not ended."""
        places: Counter[str] = Counter(await self._members("delayed"))
        for key in [
            *await keys(self.store, "backlog.g:*"),
            *await keys(self.store, "suspects:*"),
            *await keys(self.store, "merges:*"),
        ]:
            places.update(map(str, await self.client.lrange(self.store.prefix + key, 0, -1)))
        for job, record in records.items():
            if record["state"] == "waiting" and int(record.get("waits_for", 0)) == 0:
                assert places[job] == 1, f"a waiting job stands in {places[job]} places"
        load = Counter(record["tenant"] for record in records.values() if record["state"] not in FINAL)
        told = await self.client.hgetall(f"{self.store.prefix}load")
        assert {tenant: int(count) for tenant, count in told.items()} == load

    def _check_countdowns(self, records: dict[str, dict[str, str]]) -> None:
        parts: Counter[str] = Counter()
        for record in records.values():
            if record.get("then") and record["state"] not in FINAL:
                parts[record["then"]] += 1
        for job, record in records.items():
            if "waits_for" in record:
                assert int(record["waits_for"]) == parts[job]

    async def _check_batch(self, batch: str, records: dict[str, dict[str, str]]) -> None:
        items = {job: r for job, r in records.items() if r.get("batch") == batch and not r.get("item")}
        settled = [job for job, record in items.items() if record.get("item_state")]
        rows = await self.client.lrange(f"{self.store.prefix}batch:{batch}:rows", 0, -1)
        assert sorted(str(row) for row in rows if row) == sorted(settled), "each settled item has one row"
        status = await self.store.batch(batch)
        how = Counter(
            {"succeeded": "succeeded", "cancelled": "cancelled"}.get(items[job]["item_state"], "failed")
            for job in settled
        )
        counts = status.counts
        assert Counter(succeeded=counts.succeeded, failed=counts.failed, cancelled=counts.cancelled) == how
        assert (status.expires_ms is not None) == status.finished
        if status.state is not BatchState.UPLOADING:
            assert counts.total == len(items)
            assert status.finished == (len(settled) == len(items))

    async def _run_to_the_end(self) -> None:
        for batch in self.batches:
            await self.store.seal(batch)
            await self.store.call("steer", "resume", batch)
        for hands, _ in self.crew:
            await upkeep(self.store).reap(hands.card.incarnation, crashed=False)
        for _ in range(1000):
            if not (await depths(self.store)).total():
                break
            await self._end_pauses()
            await upkeep(self.store).sweep()
            for model, lane in (("noop", Lane.BATCH), ("noop", Lane.INTERACTIVE), ("read", Lane.BATCH)):
                await self._work_off(Hands(self.store, model=model), lane)
        assert not await depths(self.store), "nothing waits for ever"
        for batch in self.batches:
            assert (await self.store.batch(batch)).finished

    async def _work_off(self, hands: Hands, lane: Lane) -> None:
        while hint := await hands.pop(lane):
            claim = await hands.claim(hint)
            if isinstance(claim, Claim):
                parts = self._parts_of(claim)
                await self.store.submit(parts, fence=claim.fence)
                self.jobs += [job.id for job in parts if job.id not in self.jobs]
                await hands.commit(claim.fence, self._success_of(hint.job))

    def _success_of(self, job: str) -> Verdict:
        """Only what has handed its item on may say that it continues."""
        return Verdict.CONTINUES if job in self.documents else Verdict.SUCCEEDED

    def _unfold(self, claim: Claim) -> None:
        """A second attempt submits the same jobs, which are there already; a document started anew submits others."""
        jobs = self._parts_of(claim)
        fresh = [job.id for job in jobs if job.id not in self.jobs]
        assert self.do(self.store.submit(jobs, fence=claim.fence)) == len(fresh)
        self.jobs += fresh

    def _parts_of(self, claim: Claim) -> list[Any]:
        known = self.documents.get(claim.fence.job)
        return parts_of(claim.fence.job, *known, generation=claim.generation) if known else []

    def _submit(self, batch: str, jobs: list[Any]) -> None:
        takes_more = self.do(self.store.batch(batch)).state is BatchState.UPLOADING
        try:
            assert self.do(self.store.submit(jobs, tab=tab_of("anna@lab"))) == len(jobs)
        except Conflict:
            assert not takes_more
        else:
            assert takes_more
            self.jobs += [job.id for job in jobs]

    def _state(self, job: str) -> str | None:
        return self.do(field(self.store, job, "state"))

    async def _members(self, key: str) -> list[str]:
        return [str(member) for member in await self.client.zrange(self.store.prefix + key, 0, -1)]

    async def _records(self) -> dict[str, dict[str, str]]:
        names = await keys(self.store, "job:*")
        pipeline = self.client.pipeline(transaction=False)
        for name in names:
            pipeline.hgetall(self.store.prefix + name)
        return dict(zip((name.removeprefix("job:") for name in names), await pipeline.execute(), strict=True))


StoreMachine.TestCase.settings = settings(
    max_examples=40,
    stateful_step_count=30,
    deadline=None,
    phases=(Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink),  # `explain` traces every line: far too slow
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
TestStore = StoreMachine.TestCase
