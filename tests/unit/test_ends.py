"""Ends that cannot be committed, engines without room, and whose time it was when an attempt failed."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import fakeredis
import pytest
from redis.exceptions import BusyLoadingError, ReadOnlyError, ResponseError

from tests.hands import Hands, field, items_of, open_batch
from tests.unit.test_execute import ENVELOPE, executor, make_store, raising, run_next
from tests.unit.virtual_clock import run_jumping
from tests.workers import make_job
from viiwork.errors import Busy, EngineDied, EngineFault, StoreRefused
from viiwork.jobs import State
from viiwork.store import BlobStore, Store
from viiwork.store.connection import unavailable
from viiwork.store.leases import MOST_TOKENS, Claim
from viiwork.store.scripts import Call
from viiwork.work import Answer, JobInput, Usage
from viiwork_workers.commits import COMMIT_PAUSE_S, REFUSALS
from viiwork_workers.execute import LONGEST_PAUSE_S
from viiwork_workers.outcome import Product, Runner


def nested(levels: int) -> Any:
    made: Any = []
    for _ in range(levels):
        made = [made]
    return made


def answering(answer: Answer) -> Runner:
    async def run(claim: Claim, work: JobInput) -> Product:
        return answer

    return run


async def test_an_answer_that_no_record_can_hold_is_charged_to_the_engine(fake_store: Store) -> None:
    """Found out before the commit, and not when the attempt is over."""
    job = make_job()
    await fake_store.submit([job])
    answer = Answer(text="x", value={"a": nested(300)})
    end = await run_next(fake_store, executor(fake_store, answering(answer), max_attempts=1))
    assert (end.state, end.fault and end.fault.code) == ("dead", "engine_fault")


async def test_a_job_whose_end_cannot_be_written_ends_all_the_same(
    fake_store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    """Lost, it would run again for ever; and what it said is in no log."""
    job = make_job()
    await fake_store.submit([job])
    end = await run_next(fake_store, executor(fake_store, answering(Answer(text="secret \ud800"))))
    assert (end.state, end.fault and end.fault.code) == ("failed", "internal")
    assert (await fake_store.job(job.id)).state is State.FAILED
    assert "secret" not in caplog.text


@pytest.mark.parametrize("count", [10**30, 9 * 10**18, -5])
async def test_an_absurd_count_of_tokens_stops_nothing(store: Store, count: int) -> None:
    """Neither this commit nor, by their sum, all that come after."""
    for _ in range(3):
        job = make_job()
        await store.submit([job])
        await store.release("batch.noop")
        answer = Answer(text="x", usage=Usage(prompt_tokens=count, output_tokens=count))
        assert (await run_next(store, executor(store, answering(answer)))).state == "succeeded"
    assert int((await store.stats()).get("prompt_tokens", {}).get("batch.noop", 0)) == 3 * min(
        max(0, count), MOST_TOKENS
    )


@pytest.mark.parametrize("said", ["1e30", "-5", "nan", "inf", "secret", ""])
async def test_a_script_that_is_told_an_absurd_count_takes_none(store: Store, said: str) -> None:
    """A worker of another version may send one."""
    job = make_job()
    await store.submit([job])
    fence = (await Hands(store).take()).fence
    args = (fence.job, fence.attempt, fence.token, "succeeded", "{}", "", said, said, 4, 0)
    assert (await store.call("commit", *args))[:2] == ["ok", "succeeded"]
    assert (await field(store, job.id, "prompt_tokens_used")) in ("0", "1000000000")


class Refusing(Store):
    """A store whose script ends in an error for any end but a failure."""

    async def call_many(self, calls: Sequence[Call]) -> list[Any]:
        replies = await super().call_many([call for call in calls if not _good(call)])
        refused = unavailable(ResponseError("value is not an integer or out of range script: x, on @user_script:9."))
        return [refused if _good(call) else replies.pop(0) for call in calls]


def _good(call: Call) -> bool:
    return call.script == "commit" and call.args[3] == "succeeded"


def test_an_end_that_the_store_refuses_again_and_again_is_a_fault(tmp_path: Path) -> None:
    """It is there and answers: to wait for it would keep the slot for ever."""

    async def scenario() -> tuple[str, str, float]:
        client = fakeredis.FakeAsyncRedis(decode_responses=True)
        blobs = BlobStore(tmp_path)
        store = Refusing(client, fleet="f", prefix="f:", envelope=ENVELOPE, blobs=blobs, ttl_ms=0, headers=False)
        await store.submit([make_job()])
        end = await run_next(store, executor(store, answering(Answer(text="x"))))
        return end.state, end.fault.code if end.fault else "", asyncio.get_running_loop().time()

    state, code, took_s = run_jumping(scenario)
    assert (state, code) == ("failed", "internal")
    assert took_s == pytest.approx(sum((*COMMIT_PAUSE_S, COMMIT_PAUSE_S[-1])[:REFUSALS]))


@pytest.mark.parametrize(
    "error",
    [
        ResponseError("BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE."),
        ResponseError("NOREPLICAS Not enough good replicas to write."),
        ResponseError("MISCONF Errors writing to the AOF file: No space left on device script: x, on @user_script:9."),
        ResponseError("OOM command not allowed when used memory > 'maxmemory'. script: x, on @user_script:9."),
        ReadOnlyError("You can't write against a read only replica."),
        BusyLoadingError("Redis is loading the dataset in memory"),
        ConnectionResetError(),
    ],
)
def test_what_passes_by_itself_is_no_refusal(error: Exception) -> None:
    """Work that is done waits for that as long as it takes."""
    assert not isinstance(unavailable(error), StoreRefused)


async def test_one_result_that_cannot_be_read_is_a_fault_of_its_own_row(fake_store: Store) -> None:
    """The others of its analysis can be read, and so can its job."""
    batch = await open_batch(fake_store, total=3)
    await fake_store.submit(items_of(batch, 3))
    await fake_store.seal(batch)
    hands = Hands(fake_store)
    await hands.do_all()
    for number, broken in ((0, '{"answer":'), (1, '{"answer":{"text":"x","value":' + "[" * 205 + "]" * 205 + "}}")):
        key = f"{fake_store.prefix}job:{items_of(batch, 3)[number].id}"
        await fake_store.client.hset(key, "result", broken)
    rows = [row async for row in fake_store.rows(batch)]
    assert [row.error.code if row.error else "" for row in sorted(rows, key=lambda row: row.index)] == [
        "unreadable_result",
        "unreadable_result",
        "",
    ]
    error = (await fake_store.job(items_of(batch, 3)[0].id)).error
    assert error is not None
    assert error.code == "unreadable_result"


async def test_a_large_result_that_is_no_text_is_a_fault_of_its_own(fake_store: Store) -> None:
    """A disk may return anything."""
    job = make_job()
    await fake_store.submit([job])
    hands = Hands(fake_store)
    await hands.commit((await hands.take()).fence, result=Answer(text="x" * 20_000))
    fake_store.blobs.path(str(await field(fake_store, job.id, "result_blob"))).write_bytes(b"\xff\xfe")
    error = (await fake_store.job(job.id)).error
    assert error is not None
    assert error.code == "unreadable_result"


@pytest.mark.parametrize(("asked_s", "paused_s"), [(5.0, 5.0), (3_600.0, LONGEST_PAUSE_S)])
def test_an_engine_without_room_costs_the_job_nothing_and_lowers_the_limit(
    tmp_path: Path, asked_s: float, paused_s: float
) -> None:
    """However often: others use it too. It is no engine that was lost."""

    async def scenario() -> tuple[list[str], str | None, int, float, list[bool]]:
        store = make_store(tmp_path)
        job = make_job()
        await store.submit([job])
        chosen = executor(store, raising(Busy("the engine takes no more now.", retry_after_s=asked_s)), max_attempts=2)
        lost: list[bool] = []
        chosen.on_engine_lost = lambda: lost.append(True)
        ends = [(await run_next(store, chosen)).state for _ in range(6)]
        strikes = await field(store, job.id, "strikes")
        return ends, strikes, chosen.quick_faults, asyncio.get_running_loop().time(), lost

    ends, strikes, faults, took_s, lost = run_jumping(scenario)
    assert ends == ["waiting"] * 6
    assert (strikes, faults, lost) == (None, 6, [])
    assert took_s == pytest.approx(6 * paused_s)


@pytest.mark.parametrize(("kind", "mark"), [(EngineFault, "strikes"), (EngineDied, "suspect")])
def test_an_engine_that_fails_in_time_is_at_fault_though_the_verdict_takes_too_long(
    tmp_path: Path, kind: type[EngineFault], mark: str
) -> None:
    """The job did not run for too long; and the fault counts as a quick one."""

    async def run(claim: Claim, work: JobInput) -> Product:
        fault = kind("It fell apart.")
        fault.failed_s = asyncio.get_running_loop().time() + 0.5
        await asyncio.sleep(0.5)
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            raise fault from None
        raise AssertionError

    async def scenario() -> tuple[str, str | None, int]:
        store = make_store(tmp_path)
        job = make_job(timeout_s=2.0)
        await store.submit([job])
        chosen = executor(store, run)
        end = await run_next(store, chosen)
        return end.state, await field(store, job.id, mark), chosen.quick_faults

    assert run_jumping(scenario) == ("waiting", "1", 1 if kind is EngineFault else 0)
