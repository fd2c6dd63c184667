"""What several jobs have in common is stored once, goes with the last of them, and nobody's text stays behind."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.hands import Hands, document, keys, open_batch, parts_of
from tests.workers import make_job
from viiwork.api.requests import AnalysisBody, JobBody
from viiwork.errors import Conflict, NotFound
from viiwork.jobs import Job, Settle
from viiwork.schema import SHARED
from viiwork.store import Fence, Store
from viiwork.store.collector import Collector
from viiwork.store.leases import Claim, Verdict
from viiwork.store.removal import remove
from viiwork.store.sharing import blobs_of
from viiwork.work import AnalysisTask, ReadInput, StepInput, TaskOptions

PASSAGES = [f"{place} It was a dark and stormy night — and the rain fell in torrents. " * 60 for place in range(3)]
QUESTIONS = [f"What of number {number}?" for number in range(20)]
LONG = TaskOptions(prompt="Say what the weather was like, in the words of the time. " * 200)


def files(store: Store) -> list[Path]:
    return [path for path in store.directory.root.rglob("*") if path.is_file()]


def asked(batch: str, passages: list[str] = PASSAGES) -> list[Job]:
    """Every question on every passage."""
    return [
        make_job(
            id=f"{batch}-0l0p{at}",
            batch=batch,
            item=f"{batch}-0",
            settle=Settle.NEVER,
            input=StepInput(task=AnalysisTask.ASK, options=TaskOptions(question=question), text=text),
        )
        for at, (text, question) in enumerate((text, question) for text in passages for question in QUESTIONS)
    ]


async def read_job(store: Store, batch: str) -> tuple[Hands, Fence]:
    await store.submit([document(batch)])
    await store.seal(batch)
    reader = Hands(store, "reader0", model="read")
    return reader, (await reader.take()).fence


async def each(hands: Hands) -> AsyncIterator[Claim]:
    """Every job of the engine's queue, one after the other, ended once it was looked at."""
    while True:
        await hands.store.release("batch.noop")
        hint = await hands.pop()
        if hint is None:
            return
        claim = await hands.claim(hint)
        assert isinstance(claim, Claim)
        yield claim
        await hands.commit(claim.fence)


async def stored_bytes(store: Store, jobs: list[Job]) -> int:
    """Of the inputs in the jobs' records."""
    found = await store.read([("HSTRLEN", f"{store.prefix}job:{job.id}", "input") for job in jobs])
    return sum(map(int, found))


async def test_a_passage_is_stored_once_however_many_questions_there_are(store: Store) -> None:
    """Their records name it, and each job gets back the very input that was submitted."""
    batch = await open_batch(store, total=1)
    _, fence = await read_job(store, batch)
    jobs = asked(batch)
    assert await store.submit(jobs, fence=fence) == len(jobs)
    (file,) = files(store)
    assert file.stat().st_size == sum(len(text.encode()) for text in PASSAGES)
    assert await stored_bytes(store, jobs) < 400 * len(jobs) < sum(len(text) for text in PASSAGES) * len(QUESTIONS) / 5
    hands, wanted = Hands(store, slots=len(jobs)), {job.id: job.input for job in jobs}
    async for claim in each(hands):
        found = await claim.input(store)
        assert blobs_of(found) == [file.name]
        assert found.model_copy(update={"kept": None}) == wanted.pop(claim.fence.job)
    assert wanted == {}


async def test_it_goes_with_the_last_that_names_it(store: Store) -> None:
    """And counts as one file on the receipt; nothing else of it stays in Redis."""
    batch, other = await open_batch(store, total=1), await open_batch(store, total=1)
    for one in (batch, other):
        _, fence = await read_job(store, one)
        await store.submit(asked(one), fence=fence)
    assert len(files(store)) == 2
    done = await remove(store, batch)
    assert (done.finished, done.blobs, done.jobs) == (True, 1, 1 + len(asked(batch)))
    (left,) = files(store)
    assert await store.client.hgetall(f"{store.prefix}shared") == {left.name: str(len(asked(other)))}
    await remove(store, other)
    assert files(store) == []
    assert "shared" not in await keys(store)


async def test_the_sweeper_leaves_it_alone(real_store: Store) -> None:
    batch = await open_batch(real_store, total=1)
    _, fence = await read_job(real_store, batch)
    await real_store.submit(asked(batch), fence=fence)
    (file,) = files(real_store)
    found = await Collector(real_store, grace_s=0, pause_s=0).collect(adopt=True)
    assert (found.blobs, file.exists()) == (0, True)


async def test_a_step_that_is_run_again_adds_to_what_is_there(store: Store) -> None:
    """The first attempt got half of them in; those go on naming its file, and the rest names another."""
    batch = await open_batch(store, total=1)
    _, fence = await read_job(store, batch)
    jobs = asked(batch)
    await store.submit(jobs[: len(jobs) // 2], fence=fence)
    assert await store.submit(jobs, fence=fence) == len(jobs) - len(jobs) // 2
    assert len(files(store)) == 2
    assert await store.submit(jobs, fence=fence) == 0
    assert len(files(store)) == 2, "what nobody names is gone at once"
    hands, wanted = Hands(store, slots=len(jobs)), {job.id: job.input for job in jobs}
    async for claim in each(hands):
        assert (await claim.input(store)).model_copy(update={"kept": None}) == wanted.pop(claim.fence.job)
    assert wanted == {}
    assert (await remove(store, batch)).blobs == 2
    assert files(store) == []


async def test_one_that_lost_its_lease_leaves_no_text(store: Store) -> None:
    batch = await open_batch(store, total=1)
    reader, fence = await read_job(store, batch)
    await reader.commit(fence, Verdict.GIVE_BACK)
    with pytest.raises(Conflict):
        await store.submit(asked(batch), fence=fence)
    assert files(store) == []


async def test_long_options_are_stored_once_for_all_that_have_them(store: Store) -> None:
    """Those of the files of a folder, and of the steps that each becomes."""
    batch = await open_batch(store, total=5)

    def read(place: int) -> ReadInput:
        return ReadInput(name=f"{place}.txt", text="x", task=AnalysisTask.PROMPT, options=LONG, model="noop")

    docs = [
        make_job(id=f"{batch}-{n}", batch=batch, model="read", settle=Settle.ON_FAILURE, input=read(n))
        for n in range(5)
    ]
    await store.submit(docs)
    await store.seal(batch)
    (file,) = files(store)
    assert await stored_bytes(store, docs) < 5 * 400
    claim = await Hands(store, "reader0", model="read").take()
    work = await claim.input(store)
    assert isinstance(work, ReadInput)
    assert work.options == LONG
    steps = [
        job.model_copy(update={"input": StepInput(task=AnalysisTask.PROMPT, options=LONG, text="x")})
        for job in parts_of(claim.fence.job, batch, 3)
    ]
    await store.submit(steps, fence=claim.fence, like=work)
    assert files(store) == [file]
    assert await stored_bytes(store, steps) < 3 * 400
    found = await (await Hands(store).take()).input(store)
    assert isinstance(found, StepInput)
    assert (found.options, found.text) == (LONG, "x")


async def test_workers_of_the_version_before_leave_such_jobs_alone(store: Store) -> None:
    batch = await open_batch(store, total=1)
    _, fence = await read_job(store, batch)
    jobs = asked(batch)
    await store.submit(jobs, fence=fence)
    (schema,) = await store.read([("HGET", f"{store.prefix}job:{jobs[0].id}", "schema")])
    assert (int(schema), jobs[0].schema_version) == (SHARED, 1)


async def test_short_inputs_stay_in_their_records(store: Store) -> None:
    """A folder of small files makes no file of ours for each."""
    batch = await open_batch(store, total=1)
    _, fence = await read_job(store, batch)
    await store.submit(parts_of(fence.job, batch, 5), fence=fence)
    assert files(store) == []


async def test_a_shared_file_that_is_gone_is_told_so(store: Store) -> None:
    batch = await open_batch(store, total=1)
    _, fence = await read_job(store, batch)
    await store.submit(asked(batch), fence=fence)
    (file,) = files(store)
    claim = await Hands(store).take()
    for spoilt in (b"short", None):
        file.write_bytes(spoilt) if spoilt else file.unlink()
        with pytest.raises(NotFound):
            await claim.input(store)


def test_what_a_sender_says_names_no_file() -> None:
    """`kept` is of our own records alone: no request has such a field."""
    for body in (AnalysisBody, JobBody):
        assert "kept" not in str(body.model_json_schema())
