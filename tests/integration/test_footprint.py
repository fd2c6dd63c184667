"""One small upload must not stop a fleet: what a document's jobs take of a small Redis, and what of it is refused."""

from __future__ import annotations

import io
import zipfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.hands import Hands, document, open_batch
from viiwork.documents import Limits
from viiwork.errors import DocumentError, Full
from viiwork.jobs import Job
from viiwork.settings import load_settings
from viiwork.store import Store, embedded, open_store
from viiwork.store.leases import Claim
from viiwork.work import AnalysisTask, ReadInput, TaskOptions
from viiwork_workers.outcome import HandedOn, Unfolded
from viiwork_workers.readers import ReaderSteps

MIB = 1024 * 1024
QUESTIONS = tuple(f"What does it say of number {number}, and why?" for number in range(50))
TEXT = "The parties met again in the old town hall and talked about the weather of that year.\n\n"
FILES = 400
PROMPT = TaskOptions(prompt="Say what it is about, in the words of the time. " * 300)


@pytest.fixture
async def small(tmp_path: Path) -> AsyncIterator[Store]:
    """A store on a server of 16 MiB."""
    settings = load_settings(
        {"fleet": {"name": "small", "state_dir": str(tmp_path / "s")}, "redis": {"max_memory_bytes": 16 * MIB}}
    )
    server = embedded.start(settings)
    store = await open_store(settings)
    await store.client.config_set("appendonly", "no")  # what waits for a slow disk is memory in use, too
    await Hands(store).beat()
    yield store
    await store.close()
    server.stop()


@pytest.fixture
async def steps(small: Store) -> AsyncIterator[ReaderSteps]:
    made = ReaderSteps(small, limits=Limits(), max_documents=50_000)
    yield made
    await made.close()


async def claimed(store: Store, work: ReadInput) -> Claim:
    batch = await open_batch(store, total=1)
    job: Job = document(batch).model_copy(update={"input": work})
    await store.submit([job])
    await store.seal(batch)
    return await Hands(store, "reader0", model="read").take()


async def used_bytes(store: Store) -> int:
    return (await store.pressure()).used_bytes


async def set_used(store: Store, fraction: float) -> None:
    """From now on so much of its memory is in use; 0 frees what was taken for that."""
    await store.client.delete("ballast")
    while (missing := fraction * 16 * MIB - await used_bytes(store)) > 0:
        await store.client.rpush("ballast", "x" * int(min(missing + 1024, 64 * 1024)))


def asking(text: str, questions: tuple[str, ...] = QUESTIONS) -> ReadInput:
    options = TaskOptions(questions=questions)
    return ReadInput(name="a.txt", text=text, task=AnalysisTask.ASK, options=options, model="noop")


async def test_fifty_questions_take_less_of_redis_than_fifty_copies(small: Store, steps: ReaderSteps) -> None:
    """Five parts, 250 calls: the text itself is not in Redis at all."""
    work = asking(TEXT * 550)
    claim = await claimed(small, work)
    before = await used_bytes(small)
    assert isinstance(await steps(claim, await claim.input(small)), HandedOn)
    grown, calls = (
        await used_bytes(small) - before,
        int(await small.client.llen(f"{small.prefix}batch:{claim.batch}:jobs")),
    )
    assert calls > 200
    assert grown < 2200 * calls


async def test_a_document_that_could_never_fit_fails_and_others_go_on(small: Store, steps: ReaderSteps) -> None:
    """It would have come back for ever from a full server, and nobody could have sent or ended anything."""
    work = asking(TEXT * 4000)
    claim = await claimed(small, work)
    before = await used_bytes(small)
    with pytest.raises(DocumentError, match="of Redis") as caught:
        await steps(claim, await claim.input(small))
    assert (caught.value.code, "fewer questions" in caught.value.hint) == ("too_big", True)
    assert await used_bytes(small) - before < MIB
    other = await claimed(small, asking(TEXT * 4000, QUESTIONS[:1]))
    assert isinstance(await steps(other, await other.input(small)), HandedOn)


async def test_one_for_which_there_is_no_room_now_waits(small: Store, steps: ReaderSteps) -> None:
    """A step that is run again after it submitted its jobs needs no more room."""
    work = asking(TEXT * 300)
    claim = await claimed(small, work)
    await set_used(small, 0.935)
    with pytest.raises(Full, match=r"9[34]% full"):
        await steps(claim, await claim.input(small))
    await set_used(small, 0)
    assert isinstance(await steps(claim, await claim.input(small)), HandedOn)
    await set_used(small, 0.935)
    assert isinstance(await steps(claim, await claim.input(small)), HandedOn)


async def archive_of(store: Store, files: int) -> Claim:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for number in range(files):
            archive.writestr(f"{number}.txt", f"File {number} says something.")
    blob = (await store.blobs.put(packed.getvalue())).id
    work = ReadInput(name="all.zip", blob=blob, task=AnalysisTask.PROMPT, options=PROMPT, model="noop")
    return await claimed(store, work)


async def test_an_archive_waits_while_new_work_is_refused_and_ends_where_redis_is_full(
    small: Store, steps: ReaderSteps
) -> None:
    """With room its files come in, and a prompt of 14 KB is not in the record of each."""
    claim = await archive_of(small, FILES)
    work = await claim.input(small)
    await set_used(small, 0.85)
    with pytest.raises(Full, match=r"8[56]% full"):
        await steps(claim, work)
    await set_used(small, 0.97)
    with pytest.raises(DocumentError) as caught:
        await steps(claim, work)
    assert caught.value.code == "no_room"
    await set_used(small, 0)
    before = await used_bytes(small)
    assert isinstance(await steps(claim, work), Unfolded)
    assert (await small.batch(claim.batch)).counts.total == 1 + FILES
    assert await used_bytes(small) - before < 2500 * FILES < len(PROMPT.prompt) * FILES / 4


async def test_an_archive_whose_files_could_never_fit_is_too_big(small: Store, steps: ReaderSteps) -> None:
    claim = await archive_of(small, 3000)
    before = await used_bytes(small)
    with pytest.raises(DocumentError, match="an archive 8 MiB") as caught:
        await steps(claim, await claim.input(small))
    assert caught.value.code == "too_big"
    assert await used_bytes(small) - before < MIB
