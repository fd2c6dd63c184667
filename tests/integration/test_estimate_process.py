"""What an estimate says of a folder, held against what real readers made of the same files."""

from __future__ import annotations

import io
import zipfile
from collections import Counter
from email.message import EmailMessage
from pathlib import Path

import pytest

from tests.documents_made import make_docx
from tests.workers import Fleet, eventually, ready
from viiwork.bigrun.estimate import estimate
from viiwork.bigrun.survey import survey
from viiwork.documents import Limits
from viiwork.documents.contents import likeness
from viiwork.documents.room import Room, at_hand, narrowest, room_for
from viiwork.jobs import READER_MODEL, BatchStatus, Job, Lane, Row, Settle, TaskName, child_id, new_id
from viiwork.multipart import FileDocument
from viiwork.settings import Settings
from viiwork.store import Store
from viiwork.work import AnalysisTask, ReadInput, TaskOptions

MODEL, TASK, OPTIONS = "sim", AnalysisTask.SUMMARIZE, TaskOptions(max_output_tokens=64)
TEXT = "The tenant pays the rent on the first of each month. "


def zipped(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as package:
        for name, data in files.items():
            package.writestr(name, data)
    return out.getvalue()


def mailed(text: str, files: dict[str, bytes]) -> bytes:
    mail = EmailMessage()
    mail["Subject"], mail["From"], mail["To"] = "Rent", "ada@example.org", "bob@example.org"
    mail.set_content(text)
    for name, data in files.items():
        mail.add_attachment(data, maintype="application", subtype="octet-stream", filename=name)
    return mail.as_bytes()


@pytest.fixture
def folder(tmp_path: Path) -> list[FileDocument]:
    """Archives and messages, whole and twice; copies outside and inside them; files that cannot be read."""
    lease, long = make_docx(title="Lease"), (TEXT * 900).encode()
    letter = mailed("See the lease.", {"lease.docx": lease, "odd.bin": bytes(range(256))})
    inner = zipped({"deep.txt": b"Deep inside. " + TEXT.encode(), "letter.eml": letter})
    archive = zipped(
        {
            "lease.docx": lease,
            "inner.zip": inner,
            "long.txt": long,
            "nothing.txt": b"",
            "photo.jpg": b"\xff\xd8\xff\xe0 ",
        }
    )
    files = {
        "a.zip": archive,
        "b.zip": archive,
        "lease.docx": lease,
        "letter.eml": letter,
        "long.txt": long,
        "other.txt": b"Another one. " + TEXT.encode(),
        "cut.docx": lease[:500],
        "cut again.docx": lease[:500],
    }
    papers = tmp_path / "papers"
    papers.mkdir()
    for name, data in files.items():
        (papers / name).write_bytes(data)
    return [FileDocument(papers / name, name=name) for name in files]


async def analysis_of(store: Store, files: list[FileDocument]) -> str:
    batch, jobs = new_id("an"), list[Job]()
    for index, file in enumerate(files):
        blob = await store.blobs.put(file.path.read_bytes())
        work = ReadInput(name=file.shown_name, blob=blob.id, task=TASK, options=OPTIONS, model=MODEL)
        told = {
            "task": TaskName.READ,
            "model": READER_MODEL,
            "settle": Settle.ON_FAILURE,
            "input": work,
            "batch": batch,
        }
        like = likeness(blob.sha256, file.shown_name)
        jobs.append(Job(id=child_id(batch, str(index)), tenant="anna@lab", lane=Lane.BATCH, digest=like, **told))
    await store.open_batch(id=batch, tenant="anna@lab", lane=Lane.BATCH, model=MODEL, task=TASK.value, total=len(jobs))
    await store.submit(jobs)
    await store.seal(batch)
    return batch


async def run_of(store: Store, files: list[FileDocument]) -> tuple[BatchStatus, list[Row]]:
    batch = await analysis_of(store, files)

    async def over() -> bool:
        return (await store.batch(batch)).finished

    await eventually(over, within_s=120, what="the end of the analysis")
    return await store.batch(batch), [row async for row in store.rows(batch)]


async def room_of(store: Store) -> Room:
    """As the readers see it."""
    card = narrowest((worker.card for worker in (await store.fleet()).workers), MODEL)
    assert card is not None
    return room_for(at_hand(card), TASK, OPTIONS)


async def test_a_folder_with_archives_and_copies_is_what_the_run_makes_of_it(
    fleet: Fleet, real_store: Store, settings: Settings, folder: list[FileDocument]
) -> None:
    """Rows, copies, reasons, pages and calls are the same, and so are the tokens within a twentieth."""
    engine = settings.engine.model_copy(update={"kind": "simulated", "model": MODEL, "time_scale": 0.001})
    fleet.start("gpu0", "reader0", settings=settings.model_copy(update={"engine": engine}))
    await ready(real_store, 2)
    room = await room_of(real_store)
    found = await survey(folder, room=room, limits=Limits())
    status, rows = await run_of(real_store, folder)
    again = [row.document for row in (await run_of(real_store, folder))[1]]
    assert sorted(again) == sorted(row.document for row in rows), "what was kept says the same as what was read"
    assert found.files == status.counts.total == len(rows)
    assert found.unreadable == Counter(row.error.code for row in rows if row.error)
    answers = [row.answer for row in rows if row.answer]
    assert found.documents == len(answers)
    assert found.copies == sum(row.same_as is not None for row in rows if row.answer)
    assert status.duplicates == sum(row.same_as is not None for row in rows)
    assert found.pages == sum(answer.pages or 0 for answer in answers)
    guess = estimate(
        found, model=MODEL, engine="simulated", slots=1, room=room, task=TASK, options=OPTIONS, runs=(), remarks=()
    )
    assert guess.work.maps == sum(answer.parts or 0 for row in rows if (answer := row.answer) and not row.same_as)
    assert guess.work.calls.low <= (status.calls or 0) <= guess.work.calls.high
    assert status.usage is not None
    assert status.usage.prompt_tokens == pytest.approx(guess.work.prompt_tokens.high, rel=0.05)
