"""The pipeline of one hint: claim, run, normalise, commit; and what comes between them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path

import fakeredis
import pytest

from tests.hands import Hands, field, upkeep
from tests.unit.virtual_clock import run_jumping
from tests.workers import make_job
from viiwork.devices import Device, Reading
from viiwork.errors import DocumentError, EngineDied, EngineFault, Full, JobRefused, StoreUnavailable, Unavailable
from viiwork.jobs import Fault, State
from viiwork.queues import HintId, make_envelope
from viiwork.roster import WorkerCard
from viiwork.store import BlobStore, Store
from viiwork.store.leases import Claim, Verdict
from viiwork.store.meters import Unclaimed
from viiwork.work import Answer, ChatInput, JobInput
from viiwork_workers.commits import COMMIT_PAUSE_S, End, Retries
from viiwork_workers.execute import STORE_PAUSE_S, Executor
from viiwork_workers.meter import Meter
from viiwork_workers.outcome import HandedOn, Product, Runner, normalise

ENVELOPE = make_envelope()


def card(slots: int = 2) -> WorkerCard:
    return WorkerCard(
        name="cpu0@here", incarnation="cpu0-1", host="here", pid=1, engine="noop", model="noop", slots=slots
    )


def make_store(place: Path) -> Store:
    client = fakeredis.FakeAsyncRedis(decode_responses=True)
    return Store(
        client, fleet="f", prefix="f:", envelope=ENVELOPE, blobs=BlobStore(place), ttl_ms=3_600_000, headers=False
    )


def executor(
    store: Store,
    runner: Runner,
    *,
    slots: int = 2,
    max_attempts: int = 4,
    base_s: float = 1e-9,
    meter: Meter | None = None,
) -> Executor:
    return Executor(store, runner, card=card(slots), retries=Retries(max_attempts, base_s=base_s), meter=meter)


async def answering(claim: Claim, work: JobInput) -> Product:
    assert isinstance(work, ChatInput)
    return Answer(text=work.messages[0].content.upper())


def raising(error: Exception) -> Runner:
    async def run(claim: Claim, work: JobInput) -> Product:
        raise error

    return run


async def waiting(claim: Claim, work: JobInput) -> Product:
    await asyncio.Event().wait()
    raise AssertionError


async def run_next(store: Store, chosen: Executor, *, started: Callable[[], None] = lambda: None) -> End:
    hint = await Hands(store).pop()
    assert hint is not None
    return await chosen.run(hint, "batch.noop", started=started)


async def until(check: Callable[[], object]) -> None:
    while not check():
        await asyncio.sleep(0)


async def test_a_hint_is_claimed_run_and_committed(fake_store: Store) -> None:
    job = make_job(text="hello")
    await fake_store.submit([job])
    begun: list[bool] = []
    end = await run_next(fake_store, executor(fake_store, answering), started=lambda: begun.append(True))
    assert end == End("succeeded")
    assert begun == [True]
    assert (await fake_store.job(job.id)).answer == Answer(text="HELLO")


async def test_a_stale_hint_runs_nothing(fake_store: Store) -> None:
    """Cancelled, gone, or somebody else's: nobody is told that it started."""
    job = make_job()
    await fake_store.submit([job])
    await fake_store.cancel(job.id)
    chosen = executor(fake_store, raising(AssertionError()))
    assert await run_next(fake_store, chosen, started=lambda: pytest.fail("started")) == End("cancelled")
    end = await chosen.run(HintId("job_nobody", 1, 1), "batch.noop", started=lambda: pytest.fail("started"))
    assert end == End("stale")


async def test_a_step_that_hands_its_item_on_settles_nothing(fake_store: Store) -> None:
    async def run(claim: Claim, work: JobInput) -> Product:
        return HandedOn()

    job = make_job()
    await fake_store.submit([job])
    assert await run_next(fake_store, executor(fake_store, run)) == End("succeeded")
    assert await field(fake_store, job.id, "item_state") is None


@pytest.mark.parametrize(
    ("error", "verdict", "code"),
    [
        (JobRefused("It is too long.", code="too_long"), Verdict.FAILED, "too_long"),
        (DocumentError("It is locked.", code="encrypted"), Verdict.FAILED, "encrypted"),
        (EngineFault("The card fell silent."), Verdict.RETRY, "engine_fault"),
        (EngineDied("The engine's process was killed by signal 9."), Verdict.CRASHED, "engine_died"),
        (TimeoutError(), Verdict.RETRY, "engine_fault"),
        (KeyError("Frau Müllers Befund"), Verdict.FAILED, "internal"),
    ],
)
async def test_an_error_becomes_a_verdict(
    fake_store: Store, error: Exception, verdict: Verdict, code: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The job's own fault fails it, the engine's is worth another attempt, and no text of it reaches the log."""
    await fake_store.submit([make_job()])
    claim = await Hands(fake_store).take()
    with caplog.at_level(logging.DEBUG):
        outcome = normalise(error, claim)
    assert outcome.verdict is verdict
    assert isinstance(outcome.result, Fault)
    assert outcome.result.code == code
    assert "Müller" not in caplog.text + outcome.result.message
    assert outcome.result.message.endswith(".")


async def test_a_defect_is_logged_by_its_type_and_place_alone(
    fake_store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    job = make_job(text="Frau Müllers Befund")
    await fake_store.submit([job])

    async def run(claim: Claim, work: JobInput) -> Product:
        raise ValueError(work)

    end = await run_next(fake_store, executor(fake_store, run))
    assert end.state == "failed"
    assert "ValueError" in caplog.text
    assert "Müller" not in caplog.text
    error = (await fake_store.job(job.id)).error
    assert error is not None
    assert error.code == "internal"


async def test_an_engine_that_keeps_failing_gives_the_job_up(fake_store: Store) -> None:
    job = make_job()
    await fake_store.submit([job])
    chosen = executor(fake_store, raising(EngineFault("The card fell silent.")), max_attempts=3)
    ends = [await run_next(fake_store, chosen) for _ in range(3)]
    assert [end.state for end in ends] == ["waiting", "waiting", "dead"]
    assert (await fake_store.job(job.id)).state is State.DEAD


async def test_a_job_over_its_time_limit_is_stopped(fake_store: Store) -> None:
    job = make_job(timeout_s=0.02)
    await fake_store.submit([job])
    end = await run_next(fake_store, executor(fake_store, waiting))
    assert end.state == "failed"
    assert end.fault is not None
    assert end.fault.code == "timeout"


async def test_a_missing_input_fails_the_job_and_says_so(fake_store: Store) -> None:
    job = make_job(text="x" * 40_000)
    await fake_store.submit([job])
    blob = await field(fake_store, job.id, "input_blob")
    assert blob is not None
    await fake_store.blobs.delete(blob)
    assert (await run_next(fake_store, executor(fake_store, answering))).state == "failed"
    error = (await fake_store.job(job.id)).error
    assert error is not None
    assert "missing" in error.message


async def test_a_job_cancelled_here_stops_at_once(fake_store: Store) -> None:
    job = make_job()
    await fake_store.submit([job])
    chosen = executor(fake_store, waiting)
    running = asyncio.ensure_future(run_next(fake_store, chosen))
    await until(chosen.hands.fences)
    await chosen.cancel(job.id)
    assert await running == End("cancelled")
    assert chosen.hands.fences() == []
    assert (await fake_store.job(job.id)).state is State.CANCELLED


async def test_a_job_taken_away_is_dropped_without_a_commit(fake_store: Store) -> None:
    """The beat found that it is another's now."""
    job = make_job()
    await fake_store.submit([job])
    chosen = executor(fake_store, waiting)
    running = asyncio.ensure_future(run_next(fake_store, chosen))
    await until(chosen.hands.fences)
    await upkeep(fake_store).reap("cpu0-1")
    chosen.hands.abort(job.id, "waiting")
    assert await running == End("stale")
    assert (await fake_store.job(job.id)).state is State.WAITING
    chosen.hands.abort(job.id, "waiting")


async def test_a_result_that_comes_too_late_is_not_committed(fake_store: Store) -> None:
    """It ran to its end on a worker that was given up meanwhile."""
    job = make_job()
    await fake_store.submit([job])

    async def run(claim: Claim, work: JobInput) -> Product:
        await upkeep(fake_store).reap("cpu0-1")
        return Answer(text="too late")

    assert await run_next(fake_store, executor(fake_store, run)) == End("stale")
    assert (await fake_store.job(job.id)).answer is None


async def test_a_worker_that_leaves_gives_its_jobs_back_uncharged(fake_store: Store) -> None:
    """What it had not begun yet goes back too, at once: nobody waits until its hint is missed."""
    jobs = [make_job() for _ in range(3)]
    await fake_store.submit(jobs)
    chosen = executor(fake_store, waiting)
    running = [asyncio.ensure_future(run_next(fake_store, chosen)) for _ in range(2)]
    await until(lambda: len(chosen.hands.fences()) == 2)
    chosen.abort_all()
    assert [end.state for end in await asyncio.gather(*running)] == ["waiting", "waiting"]
    assert await run_next(fake_store, chosen, started=lambda: pytest.fail("started")) == End("waiting")
    for job in jobs:
        assert await field(fake_store, job.id, "strikes") is None
        assert await field(fake_store, job.id, "suspect") is None


async def test_no_more_jobs_run_at_once_than_there_are_slots(fake_store: Store) -> None:
    """Hints beyond that wait without a claim, so that another worker can have their jobs."""
    await Hands(fake_store, slots=40).beat()
    await fake_store.submit([make_job() for _ in range(6)])
    gate = asyncio.Event()
    inside: list[str] = []

    async def run(claim: Claim, work: JobInput) -> Product:
        inside.append(claim.fence.job)
        await gate.wait()
        return Answer(text="")

    chosen = executor(fake_store, run, slots=3)
    running = [asyncio.ensure_future(run_next(fake_store, chosen)) for _ in range(6)]
    await until(lambda: len(inside) == 3)
    for _ in range(50):
        await asyncio.sleep(0)
    assert len(inside) == len(chosen.hands.fences()) == 3
    (depth,) = (await fake_store.fleet()).queues
    assert (depth.running, depth.queued) == (3, 3)
    gate.set()
    assert {end.state for end in await asyncio.gather(*running)} == {"succeeded"}


async def test_the_last_part_lets_its_merge_go_at_once(fake_store: Store) -> None:
    merge = make_job(model="read", waits_for=1)
    await fake_store.submit([merge, make_job(then=merge.id)])
    await run_next(fake_store, executor(fake_store, answering))
    assert (await fake_store.job(merge.id)).state is State.QUEUED


class Flaky(Store):
    """A store whose Redis is away for the next so many round trips."""

    away = 0

    async def call_many(self, calls):  # type: ignore[no-untyped-def] # as in Store
        if self.away:
            self.away -= 1
            raise StoreUnavailable("Redis does not answer.")
        return await super().call_many(calls)


def flaky(place: Path) -> Flaky:
    client = fakeredis.FakeAsyncRedis(decode_responses=True)
    return Flaky(client, fleet="f", prefix="f:", envelope=ENVELOPE, blobs=BlobStore(place), ttl_ms=0, headers=False)


def test_a_result_is_kept_until_redis_is_back(tmp_path: Path) -> None:
    """However long that takes: work that is done is never thrown away."""

    async def scenario() -> tuple[End, State, float]:
        store = flaky(tmp_path)
        job = make_job()
        await store.submit([job])

        async def run(claim: Claim, work: JobInput) -> Product:
            store.away = 9
            return Answer(text="done")

        begin_s = asyncio.get_running_loop().time()
        end = await run_next(store, executor(store, run))
        return end, (await store.job(job.id)).state, asyncio.get_running_loop().time() - begin_s

    end, state, took_s = run_jumping(scenario)
    assert (end, state) == (End("succeeded"), State.SUCCEEDED)
    assert took_s == pytest.approx(sum(COMMIT_PAUSE_S) + 4 * COMMIT_PAUSE_S[-1])


def test_a_claim_that_finds_no_redis_leaves_the_job_alone(tmp_path: Path) -> None:
    async def scenario() -> State:
        store = flaky(tmp_path)
        job = make_job()
        await store.submit([job])
        store.away = 1
        with pytest.raises(StoreUnavailable):
            await run_next(store, executor(store, answering))
        return (await store.job(job.id)).state

    assert run_jumping(scenario) is State.QUEUED


def test_a_step_that_meets_a_full_store_costs_the_job_nothing(tmp_path: Path) -> None:
    """It keeps its slot a moment, so that a full store is not hammered, and goes back without a strike."""

    async def scenario() -> tuple[list[str], str | None, float]:
        store = make_store(tmp_path)
        job = make_job()
        await store.submit([job])
        chosen = executor(store, raising(StoreUnavailable("Redis is full and takes no new work.")), max_attempts=2)
        begin_s = asyncio.get_running_loop().time()
        ends = [(await run_next(store, chosen)).state for _ in range(5)]
        return ends, await field(store, job.id, "strikes"), asyncio.get_running_loop().time() - begin_s

    ends, strikes, took_s = run_jumping(scenario)
    assert ends == ["waiting"] * 5
    assert strikes is None
    assert took_s == pytest.approx(5 * STORE_PAUSE_S)


def test_a_document_for_which_redis_has_no_room_waits_without_a_slot(tmp_path: Path) -> None:
    """Uncharged, and in the store: others' work goes on in the worker meanwhile."""

    async def scenario() -> None:
        store = make_store(tmp_path)
        job = make_job()
        await store.submit([job])
        begun_s = asyncio.get_running_loop().time()
        end = await run_next(store, executor(store, raising(Full("No room.")), max_attempts=1))
        assert (end.state, asyncio.get_running_loop().time() - begun_s < STORE_PAUSE_S) == ("waiting", True)
        assert await store.client.zcard(f"{store.prefix}delayed") == 1
        assert await field(store, job.id, "strikes") is None

    run_jumping(scenario)


def test_a_worker_that_leaves_does_not_wait_for_a_full_store(tmp_path: Path) -> None:
    async def scenario() -> tuple[str, float]:
        store = make_store(tmp_path)
        await store.submit([make_job()])
        chosen = executor(store, raising(StoreUnavailable("Redis is full and takes no new work.")))
        running = asyncio.ensure_future(run_next(store, chosen))
        await asyncio.sleep(0.5)
        chosen.abort_all()
        return (await running).state, asyncio.get_running_loop().time()

    state, took_s = run_jumping(scenario)
    assert state == "waiting"
    assert took_s < STORE_PAUSE_S


async def test_a_retry_pauses_longer_with_each_strike(fake_store: Store) -> None:
    """Drawn by lot up to a bound that doubles: the store keeps it out of every queue until then."""
    job = make_job()
    await fake_store.submit([job])
    chosen = executor(fake_store, raising(EngineFault("The card fell silent.")), base_s=3600.0)
    assert (await run_next(fake_store, chosen)).state == "waiting"
    (due_ms,) = await fake_store.read([("ZSCORE", f"{fake_store.prefix}delayed", job.id)])
    assert due_ms is not None
    assert await Hands(fake_store).pop() is None
    retries = Retries(base_s=1.0, cap_s=60.0)
    for strikes, bound_s in [(0, 1), (1, 2), (3, 8), (9, 60), (99, 60)]:
        assert 0 <= retries.pause_s(strikes) <= bound_s


async def test_a_timeout_of_the_engines_own_is_not_the_jobs_time_limit(fake_store: Store) -> None:
    """A socket that fell silent is worth another attempt."""
    job = make_job(timeout_s=600.0)
    await fake_store.submit([job])
    assert (await run_next(fake_store, executor(fake_store, raising(TimeoutError())))).state == "waiting"
    assert await field(fake_store, job.id, "strikes") == "1"


async def test_a_job_whose_time_is_over_ends_by_that_whatever_the_engine_says_then(fake_store: Store) -> None:
    """An engine may answer its cancellation with an error of its own."""

    async def run(claim: Claim, work: JobInput) -> Product:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError as error:
            raise EngineFault("The connection was closed.") from error
        raise AssertionError

    await fake_store.submit([make_job(timeout_s=0.02)])
    end = await run_next(fake_store, executor(fake_store, run))
    assert (end.state, end.fault and end.fault.code) == ("failed", "timeout")


async def test_a_job_past_its_deadline_is_stopped_and_expires(fake_store: Store) -> None:
    """It was claimed in time and did not end in time. A machine too busy to claim it within that time gets longer."""
    for deadline_s in (0.1, 1.0, 10.0):
        job = make_job(deadline_s=deadline_s, timeout_s=600.0)
        await fake_store.submit([job])
        if (end := (await run_next(fake_store, executor(fake_store, waiting))).state) != "stale":
            break
    assert end == "expired"
    status = await fake_store.job(job.id)
    assert status.state is State.EXPIRED
    assert status.error is not None
    assert status.error.code == "expired"


async def test_a_job_whose_engine_died_comes_back_as_a_suspect_without_a_strike(fake_store: Store) -> None:
    """And before that is committed the worker knows that it must take nothing more."""
    job = make_job()
    await fake_store.submit([job])
    told: list[State] = []
    chosen = executor(fake_store, raising(EngineDied("The engine's process was killed by signal 9.")))
    chosen.on_engine_lost = lambda: told.append(State.RUNNING)
    assert (await run_next(fake_store, chosen)).state == "waiting"
    assert told == [State.RUNNING]
    assert await field(fake_store, job.id, "suspect") == "1"
    assert await field(fake_store, job.id, "strikes") is None
    assert chosen.quick_faults == 0


async def test_hints_wait_at_the_door_while_the_engine_is_started_again(fake_store: Store) -> None:
    """Their jobs are not claimed, so that another worker can have them meanwhile."""
    job = make_job()
    await fake_store.submit([job])
    chosen = executor(fake_store, answering)
    chosen.admit(ready=False)
    running = asyncio.ensure_future(run_next(fake_store, chosen))
    for _ in range(50):
        await asyncio.sleep(0)
    assert (await fake_store.job(job.id)).state is State.QUEUED
    chosen.admit(ready=True)
    assert await running == End("succeeded")


async def test_a_worker_that_leaves_opens_the_door_and_gives_back_what_waited_there(fake_store: Store) -> None:
    """Whatever becomes of its engine meanwhile: nobody waits for that any more."""
    job = make_job()
    await fake_store.submit([job])
    chosen = executor(fake_store, raising(AssertionError()))
    chosen.admit(ready=False)
    running = asyncio.ensure_future(run_next(fake_store, chosen))
    await asyncio.sleep(0)
    chosen.leave()
    chosen.admit(ready=False)
    assert await running == End("waiting")
    assert await field(fake_store, job.id, "strikes") is None


async def test_engines_that_fail_jobs_at_once_are_counted(fake_store: Store) -> None:
    """The limit is lowered by them; a job's own fault says nothing about the engine."""
    await fake_store.submit([make_job(), make_job()])
    chosen = executor(fake_store, raising(JobRefused("It is too long.")))
    await run_next(fake_store, chosen)
    assert chosen.quick_faults == 0
    chosen = executor(fake_store, raising(EngineFault("Out of memory.")))
    await run_next(fake_store, chosen)
    assert chosen.quick_faults == 1


def test_a_job_that_never_reached_its_engine_goes_back_uncharged(tmp_path: Path) -> None:
    """It fell between two lives of the engine; the worker is told at once."""

    async def scenario() -> tuple[str, str | None, str | None, int]:
        store = make_store(tmp_path)
        job = make_job()
        await store.submit([job])
        told: list[bool] = []
        chosen = executor(store, raising(Unavailable("the engine is being started again.", code="engine_restarting")))
        chosen.on_engine_lost = lambda: told.append(True)
        end = await run_next(store, chosen)
        return end.state, await field(store, job.id, "strikes"), await field(store, job.id, "suspect"), len(told)

    assert run_jumping(scenario) == ("waiting", None, None, 1)


class Clock:
    """Time passes when it is told to."""

    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def metered(clock: Clock, *, watts: float | None = 100.0) -> Meter:
    meter = Meter(clock=clock)
    card_0 = Device("GPU-0", "simulated", 0, "Radeon VII", "gfx906", 1)
    meter.look(((card_0, Reading(state="ok", power_w=watts)),), clock())
    return meter


def working_for(clock: Clock, seconds: float, then: Exception | None = None) -> Runner:
    async def run(claim: Claim, work: JobInput) -> Product:
        clock.now_s += seconds
        if then is not None:
            raise then
        return Answer(text="done")

    return run


async def spent(store: Store, job: str) -> tuple[float | None, int]:
    status = await store.job(job)
    return status.energy_j, status.energy_unknown_jobs


async def test_a_job_is_charged_with_what_the_cards_used_while_it_ran(fake_store: Store) -> None:
    """Not with what they used before and after: that is nobody's."""
    clock = Clock()
    await fake_store.submit([job := make_job()])
    chosen = executor(fake_store, working_for(clock, 3.0), meter=metered(clock))
    clock.now_s = 2.0
    await run_next(fake_store, chosen)
    assert await spent(fake_store, job.id) == (300.0, 0)
    clock.now_s = 6.0
    chosen.meter.look((), clock())
    assert chosen.meter.unclaimed == Unclaimed(idle_mj=300_000)


async def test_where_no_card_is_watched_what_a_job_used_is_unknown(fake_store: Store) -> None:
    jobs = [make_job(), make_job()]
    await fake_store.submit(jobs)
    clock = Clock()
    await run_next(fake_store, executor(fake_store, working_for(clock, 3.0)))
    await run_next(fake_store, executor(fake_store, working_for(clock, 3.0), meter=metered(clock, watts=None)))
    assert [await spent(fake_store, job.id) for job in jobs] == [(None, 1), (None, 1)]


async def test_what_an_attempt_used_that_the_engine_failed_is_the_jobs_all_the_same(fake_store: Store) -> None:
    clock = Clock()
    await fake_store.submit([job := make_job()])
    failing = working_for(clock, 1.0, EngineFault("The card fell silent."))
    chosen = executor(fake_store, failing, max_attempts=2, meter=metered(clock))
    assert [(await run_next(fake_store, chosen)).state for _ in range(2)] == ["waiting", "dead"]
    assert await spent(fake_store, job.id) == (200.0, 0)


async def test_what_a_job_used_that_was_cancelled_meanwhile_is_lost_and_no_jobs(fake_store: Store) -> None:
    """Nobody's commit counts it, so nothing counts it twice."""
    clock = Clock()
    await fake_store.submit([job := make_job()])
    chosen = executor(fake_store, waiting, meter=metered(clock))
    running = asyncio.ensure_future(run_next(fake_store, chosen))
    await until(chosen.hands.fences)
    await until(lambda: chosen.meter.busy)
    clock.now_s += 2.0
    await chosen.cancel(job.id)
    assert await running == End("cancelled")
    assert await spent(fake_store, job.id) == (None, 1)
    chosen.meter.look((), clock())
    assert chosen.meter.unclaimed == Unclaimed(lost_mj=200_000)


async def test_a_result_that_comes_too_late_used_what_nobody_is_charged_with(fake_store: Store) -> None:
    clock = Clock()
    await fake_store.submit([job := make_job()])

    async def run(claim: Claim, work: JobInput) -> Product:
        clock.now_s += 2.0
        await upkeep(fake_store).reap("cpu0-1")
        return Answer(text="too late")

    chosen = executor(fake_store, run, meter=metered(clock))
    assert await run_next(fake_store, chosen) == End("stale")
    chosen.meter.look((), clock())
    assert (chosen.meter.unclaimed, await spent(fake_store, job.id)) == (Unclaimed(lost_mj=200_000), (None, 1))


def test_an_engine_that_never_got_the_job_charges_it_with_nothing(tmp_path: Path) -> None:
    """It waits a while and goes back; what it took to find that out is lost."""

    async def scenario() -> tuple[tuple[float | None, int], Unclaimed]:
        clock, store = Clock(), make_store(tmp_path)
        await store.submit([job := make_job()])
        chosen = executor(store, working_for(clock, 0.5, Unavailable("It is gone.")), meter=metered(clock))
        await run_next(store, chosen)
        chosen.meter.look((), clock())
        return await spent(store, job.id), chosen.meter.unclaimed

    assert run_jumping(scenario) == ((None, 0), Unclaimed(lost_mj=50_000))
