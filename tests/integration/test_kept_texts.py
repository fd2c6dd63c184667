"""What was read of a document is kept: a second question about the same content reads nothing again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.documents_made import make_docx
from tests.hands import Hands, document, kept_for, keys, open_batch, upkeep
from viiwork.documents import Limits
from viiwork.documents.contents import Contents, likeness
from viiwork.documents.kept import key_of
from viiwork.documents.reader import Reader
from viiwork.errors import DocumentError
from viiwork.store import Fence, Store
from viiwork.store.leases import Claim, Verdict
from viiwork.store.removal import remove
from viiwork.store.texts import keep_text
from viiwork.work import AnalysisTask, ReadInput
from viiwork_workers.opening import Opening

TEXTS = "text:*"


class CountedReader(Reader):
    """The real one; says how many files it has opened."""

    opened = 0

    async def open(self, path: Path, *, name: str = "", way: tuple[int, ...] = (), group: str = "") -> Contents:
        self.opened += 1
        return await super().open(path, name=name, way=way, group=group)


class Rig:
    """One reader, and documents to give it."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.hands = Hands(store, "reader0", model="read", slots=32)
        self.opening = Opening(store, limits=Limits())
        self.reader = self.opening._reader = CountedReader(Limits())

    async def ask(
        self, data: bytes, *, name: str = "a.docx", tenant: str = "anna@lab", store: Store | None = None
    ) -> Claim:
        """A new analysis of one document, whose reading has begun."""
        store = store or self.store
        blob = await store.blobs.put(data)
        work = ReadInput(name=name, blob=blob.id, task=AnalysisTask.SUMMARIZE, model="noop")
        batch = await open_batch(store, tenant=tenant, total=1)
        asked = document(batch, 0, digest=likeness(blob.sha256, name), tenant=tenant)
        await store.submit([asked.model_copy(update={"input": work})])
        await store.seal(batch)
        return await self.hands.take()

    async def read(self, claim: Claim) -> Contents:
        work = await claim.input(self.store)
        assert isinstance(work, ReadInput)
        return await self.opening(claim, work)


@pytest.fixture
async def rig(store: Store) -> AsyncIterator[Rig]:
    made = Rig(store)
    yield made
    await made.opening.close()


async def test_a_second_question_reads_nothing_again(rig: Rig) -> None:
    """It gets the same pages, headings and notes; its own upload is not even opened."""
    data = make_docx(title="Lease")
    first = await rig.read(await rig.ask(data))
    again = [await rig.read(await rig.ask(data)) for _ in range(3)]
    assert again == [first] * 3
    assert first.document is not None
    assert first.document.headings
    assert rig.reader.opened == 1
    assert (await rig.store.stats())["texts_kept"] == {"batch.read": 1}


async def test_another_tenant_finds_nothing(rig: Rig) -> None:
    """Nor does the same content under a name that promises another format."""
    data = make_docx()
    await rig.read(await rig.ask(data))
    await rig.read(await rig.ask(data, tenant="bob@lab"))
    await rig.read(await rig.ask(data, name="a.txt"))
    assert rig.reader.opened == 3
    limits = Limits()
    assert key_of("d", tenant="anna", limits=limits) != key_of("d", tenant="bob", limits=limits)
    assert key_of("d", tenant="anna", limits=limits) != key_of("d", tenant="anna", limits=Limits(cpu_s=1))


@pytest.mark.parametrize("count", [2, 200, 100_000])
async def test_plain_text_of_any_length_is_kept(rig: Rig, count: int) -> None:
    """A process of its own takes longer for two words than fetching them."""
    data = b"word " * count
    first = await rig.read(await rig.ask(data, name="a.txt"))
    assert await rig.read(await rig.ask(data, name="a.txt")) == first
    assert rig.reader.opened == 1


async def test_what_cannot_be_read_is_not_kept(rig: Rig) -> None:
    with pytest.raises(DocumentError):
        await rig.read(await rig.ask(make_docx()[:500]))
    assert await keys(rig.store, TEXTS) == []


async def test_text_that_came_in_a_request_is_read_by_no_process_and_not_kept(rig: Rig) -> None:
    """It lies in the job's record already."""
    batch = await open_batch(rig.store, total=1)
    await rig.store.submit([document(batch, 0, digest="text:d")])
    await rig.store.seal(batch)
    found = await rig.read(await rig.hands.take())
    assert found.document is not None
    assert (rig.reader.opened, await keys(rig.store, TEXTS)) == (0, [])


async def test_it_goes_with_the_analysis_that_read_it(rig: Rig) -> None:
    """Its file and its name; the next question reads anew, and keeps that."""
    data, brief = make_docx(), kept_for(rig.store, 1)
    claim = await rig.ask(data, store=brief)
    await rig.read(claim)
    later = await rig.ask(data)
    assert len(await keys(rig.store, TEXTS)) == 1
    await rig.hands.commit(claim.fence, Verdict.FAILED)
    await asyncio.sleep(0.01)
    await upkeep(rig.store).sweep()
    assert await keys(rig.store, TEXTS) == []
    (upload,) = [path for path in rig.store.directory.root.rglob("*") if path.is_file()]
    assert upload.read_bytes() == data
    await rig.read(later)
    assert (rig.reader.opened, len(await keys(rig.store, TEXTS))) == (2, 1)


async def test_a_deletion_takes_what_its_analysis_read_and_leaves_that_of_others(rig: Rig) -> None:
    """Files and names of the tenant's own, of another tenant's nothing; what others of its own read stays theirs."""
    mine, shared = make_docx(title="Mine"), make_docx(title="Shared")
    first = await rig.ask(mine)
    await rig.read(first)
    await rig.read(await rig.ask(shared))
    await rig.read(await rig.ask(mine, tenant="bob@lab"))
    using = await rig.ask(shared)
    await rig.read(using)
    assert (rig.reader.opened, len(await keys(rig.store, TEXTS))) == (3, 3)
    before = {path.name for path in rig.store.directory.root.rglob("*") if path.is_file()}
    for claim, gone in ((first, 2), (using, 1)):
        assert (await remove(rig.store, claim.batch)).blobs == gone  # the upload, and what it read itself
    assert len(await keys(rig.store, TEXTS)) == 2
    after = {path.name for path in rig.store.directory.root.rglob("*") if path.is_file()}
    assert len(before - after) == 3
    await rig.read(await rig.ask(shared))
    await rig.read(await rig.ask(mine, tenant="bob@lab"))
    assert rig.reader.opened == 3


async def test_one_that_another_has_read_since_stays_when_the_first_goes(rig: Rig) -> None:
    """Two that read at the same time keep one each; the last one's is found."""
    data, brief = make_docx(), kept_for(rig.store, 1)
    first, second = await rig.ask(data, store=brief), await rig.ask(data)
    await keep_text(rig.store, first.fence, key="k", content=b"{}")
    await keep_text(rig.store, second.fence, key="k", content=b"{}")
    await rig.hands.commit(first.fence, Verdict.FAILED)
    await asyncio.sleep(0.01)
    await upkeep(rig.store).sweep()
    assert await keys(rig.store, TEXTS) == ["text:k"]


async def test_what_is_kept_and_damaged_or_gone_is_read_anew(rig: Rig) -> None:
    data = make_docx()
    await rig.read(await rig.ask(data))
    (name,) = await keys(rig.store, TEXTS)

    async def kept() -> Path:
        return rig.store.directory.path(str(await rig.store.client.get(rig.store.prefix + name)))

    (await kept()).write_bytes(b"[1, 2]")
    await rig.read(await rig.ask(data))
    (await kept()).unlink()
    await rig.read(await rig.ask(data))
    assert rig.reader.opened == 3


async def test_a_reader_that_lost_its_lease_keeps_nothing(rig: Rig) -> None:
    """And leaves no file behind."""
    claim = await rig.ask(make_docx())
    lost = Fence(claim.fence.job, claim.fence.attempt, "another")
    assert not await keep_text(rig.store, lost, key="k", content=b"{}")
    assert await keys(rig.store, TEXTS) == []
    assert len([path for path in rig.store.directory.root.rglob("*") if path.is_file()]) == 1
