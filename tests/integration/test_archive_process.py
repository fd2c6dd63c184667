"""An archive on a real fleet, whose readers are killed again and again while they are at it."""

from __future__ import annotations

import io
import stat
import zipfile
from email.message import EmailMessage

from tests.hands import field
from tests.workers import Fleet, eventually, ready
from viiwork.documents.contents import likeness
from viiwork.jobs import READER_MODEL, BatchState, BatchStatus, Job, Lane, Settle, State, TaskName, child_id, new_id
from viiwork.settings import Settings
from viiwork.store import Store
from viiwork.store.items import retry_failed
from viiwork.work import AnalysisTask, ReadInput

FILES = 120
TEXT = "The tenant pays the rent on the first of each month. "


def archive() -> bytes:
    """Letters, one of them twice and one in an archive of its own, and three files that cannot be read."""
    inner, out = io.BytesIO(), io.BytesIO()
    with zipfile.ZipFile(inner, "w") as package:
        package.writestr("letter.txt", TEXT)
    with zipfile.ZipFile(out, "w") as package:
        for number in range(FILES - 5):
            package.writestr(f"{number % 7}/{number}.txt", f"Letter {number}. {TEXT}")
        package.writestr("inner.zip", inner.getvalue())
        package.writestr("again.txt", f"Letter 0. {TEXT}")
        package.writestr("photo.jpg", b"\xff\xd8\xff\xe0" + bytes(20))
        package.writestr("zeros.txt", bytes(17 * 1024 * 1024), zipfile.ZIP_DEFLATED)
        package.writestr("nothing.txt", b"")
    return out.getvalue()


async def analysis_of(store: Store, data: bytes) -> str:
    blob = await store.blobs.put(data)
    work = ReadInput(name="all.zip", blob=blob.id, task=AnalysisTask.SUMMARIZE, model="noop")
    batch = new_id("an")
    await store.open_batch(id=batch, tenant="anna@lab", lane=Lane.BATCH, model="noop", task="summarize", total=1)
    told = {"task": TaskName.READ, "model": READER_MODEL, "settle": Settle.ON_FAILURE, "input": work, "batch": batch}
    await store.submit([Job(id=child_id(batch, "0"), tenant="anna@lab", lane=Lane.BATCH, **told)])
    await store.seal(batch)
    return batch


async def test_readers_killed_in_the_middle_lose_and_double_nothing(fleet: Fleet, real_store: Store) -> None:
    """Each file of the archive has its one row, whoever died over it; the archive has none."""
    fleet.start("cpu0", "reader0")
    await ready(real_store, 2)
    batch = await analysis_of(real_store, archive())

    async def status() -> BatchStatus:
        return await real_store.batch(batch)

    async def begun() -> bool:
        return (await real_store.job(child_id(batch, "0"))).state not in (State.WAITING, State.QUEUED)

    async def unfolding() -> bool:
        return (await status()).counts.total > 1

    async def half() -> bool:
        return (await status()).counts.settled > FILES // 3

    for turn, moment in enumerate((begun, unfolding, half)):
        await eventually(moment, what=f"the {turn + 1}. moment to kill")
        fleet.kill(f"reader{turn}")
        fleet.start(f"reader{turn + 1}")

    async def over() -> bool:
        return (await status()).finished

    await eventually(over, within_s=90, what="the end of the analysis")
    ended = await status()
    assert (ended.state, ended.counts.total, ended.counts.settled) == (BatchState.COMPLETED, FILES, FILES)
    rows = [row async for row in real_store.rows(batch)]
    assert len({row.document for row in rows}) == len(rows) == FILES
    bad = {row.document: row.error.code for row in rows if row.error}
    assert bad == {"all.zip/photo.jpg": "unsupported", "all.zip/zeros.txt": "zip_bomb", "all.zip/nothing.txt": "empty"}
    assert "all.zip/inner.zip/letter.txt" in {row.document for row in rows}
    assert (ended.duplicates, {row.same_as for row in rows if row.same_as}) == (1, {"all.zip/0/0.txt"})
    (calls,) = await real_store.read([("HGET", f"{real_store.prefix}batch:{batch}", "calls")])
    assert int(calls) == FILES - len(bad) - 1  # the copy needed no engine


def links(count: int) -> bytes:
    """An archive of symbolic links: each has its row, and none takes a process to read."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as package:
        for number in range(count):
            link = zipfile.ZipInfo(f"{number}.txt")
            link.create_system, link.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
            package.writestr(link, "/etc/passwd")
    return out.getvalue()


async def test_readers_killed_while_they_add_files_lose_and_double_none(fleet: Fleet, real_store: Store) -> None:
    """900 files are 18 scripts in two trips: whichever the signal comes between, the next reader adds the rest."""
    count, deaths = 900, 3
    fleet.start("reader0")
    await ready(real_store, 1)
    batch = await analysis_of(real_store, links(count))
    for turn in range(deaths):
        before = (await real_store.batch(batch)).counts.total

        async def more() -> bool:
            counts = (await real_store.batch(batch)).counts
            return counts.total > before or counts.settled > 0  # noqa: B023 - it is called in this turn alone

        await eventually(more, what="files that were added")
        if await field(real_store, child_id(batch, "0"), "marks"):
            break  # a reader died with this alone already: after the next one it would rightly be given up
        fleet.kill(f"reader{turn}")
        fleet.start(f"reader{turn + 1}")

    async def over() -> bool:
        return (await real_store.batch(batch)).finished

    await eventually(over, within_s=90, what="the end of the analysis")
    ended = await real_store.batch(batch)
    assert (ended.state, ended.counts.total, ended.counts.failed) == (BatchState.COMPLETED, count, count)
    assert {row.document async for row in real_store.rows(batch)} == {f"all.zip/{n}.txt" for n in range(count)}
    again = await retry_failed(real_store, batch)
    assert again.retried == count

    await eventually(over, within_s=90, what="the end of all that was tried again")
    ended = await real_store.batch(batch)
    assert (ended.counts.total, ended.counts.failed) == (count, count)


async def test_an_archive_that_would_make_too_many_documents_is_refused_and_costs_none_of_the_others(
    fleet: Fleet, real_store: Store, settings: Settings
) -> None:
    """However many archives are sent, an analysis has no more documents than the service takes."""
    api = settings.api.model_copy(update={"max_documents": 20})
    fleet.start("reader0", settings=settings.model_copy(update={"api": api}))
    await ready(real_store, 1)
    batch = new_id("an")
    await real_store.open_batch(id=batch, tenant="anna@lab", lane=Lane.BATCH, model="noop", task="summarize", total=2)
    await send(real_store, batch, "0", "few.zip", links(9))
    await send(real_store, batch, "1", "many.zip", links(21))
    await real_store.seal(batch)

    async def over() -> bool:
        return (await real_store.batch(batch)).finished

    await eventually(over, what="the end of the analysis")
    codes = {row.document: row.error.code async for row in real_store.rows(batch) if row.error}
    assert codes == {f"few.zip/{n}.txt": "unsupported" for n in range(9)} | {"many.zip": "too_big"}


def letter() -> bytes:
    mail = EmailMessage()
    mail["Subject"], mail["From"], mail["To"] = "Rent", "ada@example.org", "bob@example.org"
    mail.set_content("See what is attached.")
    mail.add_attachment(TEXT, filename="lease.txt")
    return mail.as_bytes()


async def test_a_message_that_came_in_an_archive_before_has_its_attachments_again_by_itself(
    fleet: Fleet, real_store: Store
) -> None:
    """Its row is that of the first, whose attachments are the archive's to tell; its own are told once, and always."""
    fleet.start("cpu0", "reader0")
    await ready(real_store, 2)
    out, data = io.BytesIO(), letter()
    with zipfile.ZipFile(out, "w") as package:
        package.writestr("letter.eml", data)
    for _turn in ("read", "kept from before"):
        batch = new_id("an")
        await real_store.open_batch(
            id=batch, tenant="anna@lab", lane=Lane.BATCH, model="noop", task="summarize", total=2
        )
        await send(real_store, batch, "0", "all.zip", out.getvalue())

        async def inside() -> bool:
            return await real_store.settled_rows(batch) == 2  # noqa: B023 - it is called in this turn alone

        await eventually(inside, what="the rows of what the archive holds")
        await send(real_store, batch, "1", "letter.eml", data)
        await real_store.seal(batch)

        async def over() -> bool:
            return (await real_store.batch(batch)).finished  # noqa: B023 - it is called in this turn alone

        await eventually(over, what="the end of the analysis")
        rows = {row.document: row.same_as async for row in real_store.rows(batch)}
        assert rows == {
            "all.zip/letter.eml": None,
            "all.zip/letter.eml/lease.txt": None,
            "letter.eml": "all.zip/letter.eml",
            "letter.eml/lease.txt": "all.zip/letter.eml/lease.txt",
        }


async def send(store: Store, batch: str, index: str, name: str, data: bytes) -> None:
    """One document of an analysis whose others may still come."""
    blob = await store.blobs.put(data)
    work = ReadInput(name=name, blob=blob.id, task=AnalysisTask.SUMMARIZE, model="noop")
    told = {"task": TaskName.READ, "model": READER_MODEL, "settle": Settle.ON_FAILURE, "input": work, "batch": batch}
    like = likeness(blob.sha256, name)
    job = Job(id=child_id(batch, index), tenant="anna@lab", lane=Lane.BATCH, digest=like, **told)
    await store.submit([job])
