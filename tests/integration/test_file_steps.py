"""The steps that fill and close a batch, one at a time: broken off, run again, and run by two at once."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.hands import Hands, upkeep
from viiwork.api.openai.attachments import Attachments
from viiwork.api.openai.batches import steps
from viiwork.api.openai.bodies import ChatBody
from viiwork.api.work import Sender
from viiwork.batches.batchobject import Facts, new_batch
from viiwork.documents.contents import Contents
from viiwork.documents.reader import Reader
from viiwork.errors import Full, StoreUnavailable
from viiwork.jobs import Fault, Job
from viiwork.limits import Account, Limits
from viiwork.store import Store, filebatches, files
from viiwork.store.accounts import Tab
from viiwork.store.filebatches import Opening
from viiwork.store.leases import Claim, Verdict
from viiwork.work import ChatInput, CloseInput, LinesInput, RefusedInput
from viiwork_workers import linefiles, linesin
from viiwork_workers.linefiles import LineFiles
from viiwork_workers.linesin import LinesIn
from viiwork_workers.linesout import LinesOut

TENANT = "anna@lab"
LINES = 40
CHAT = "/v1/chat/completions"


@pytest.fixture(autouse=True)
def small_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linesin, "SLICE", 10)


def line(number: int, **more: Any) -> bytes:
    body = {"model": "noop", "messages": [{"role": "user", "content": "hello"}]} | more
    said = {"custom_id": f"c{number}", "method": "POST", "url": CHAT, "body": body}
    return json.dumps(said).encode() + b"\n"


class Steps:
    """A batch of a store, and a reader's hands on its steps."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.reader, self.engine = Hands(store, "reader0", model="read"), Hands(store)
        self.id = new_batch()
        self.files = LineFiles(store)

    async def begin(self, content: bytes, *, tab: Tab | None = None) -> None:
        await self.reader.beat()
        await self.engine.beat()
        blob = await self.store.directory.put(content)
        opening = Opening(self.id, TENANT, CHAT, "file-x", "24h", 3600.0)
        lines, close = steps(opening, blob.id, Sender(TENANT, None, tab))
        await filebatches.begin(self.store, opening, lines=lines, close=close)

    async def fill(self, claim: Claim | None = None) -> None:
        """The first step, up to its commit."""
        claim = claim or await self.reader.take()
        work = await claim.input(self.store)
        assert isinstance(work, LinesInput)
        try:
            await LinesIn(self.store, self.files, max_line_bytes=4096, max_backlog=1000, timeout_s=60.0)(claim, work)
        except (Full, StoreUnavailable):
            await self.reader.commit(claim.fence, Verdict.GIVE_BACK)
            await self.store.release("batch.read")
            raise
        await self.reader.commit(claim.fence)

    async def refuse(self) -> None:
        """The steps of the lines that no engine is asked."""
        await self.store.release("batch.read")
        while (hint := await self.reader.pop()) is not None:
            claim = await self.reader.claim(hint)
            assert isinstance(claim, Claim)
            work = await claim.input(self.store)
            assert isinstance(work, RefusedInput)
            await self.reader.commit(claim.fence, Verdict.FAILED, Fault(code=work.code, message=work.message))

    async def close(self, claim: Claim) -> None:
        work = await claim.input(self.store)
        assert isinstance(work, CloseInput)
        await LinesOut(self.store, max_line_bytes=4096)(claim, work)

    async def facts(self) -> Facts:
        found = await filebatches.known(self.store, self.id)
        assert found is not None
        return found

    async def jobs(self) -> list[str]:
        (ids,) = await self.store.read([("LRANGE", f"{self.store.prefix}batch:{self.id}:jobs", "0", "-1")])
        return [str(one) for one in ids]

    async def told(self, file: str | None) -> dict[str, Any]:
        found = await files.find(self.store, TENANT, file or "")
        assert found is not None
        content = await self.store.blobs.read(found.blob)
        assert len(content) == found.bytes
        lines = [json.loads(raw) for raw in content.splitlines()]
        return {one["custom_id"]: one for one in lines}


@pytest.fixture
async def batch(store: Store) -> AsyncIterator[Steps]:
    made = Steps(store)
    yield made
    await made.files.close()


def content(count: int = LINES) -> bytes:
    return b"".join(line(number) for number in range(count))


async def test_a_batch_goes_through_its_stages(batch: Steps) -> None:
    await batch.begin(content())
    assert (await batch.facts()).stage == "validating"
    await batch.fill()
    assert (await batch.facts()).stage == "in_progress"
    assert len(await batch.engine.do_all()) == LINES
    assert (await batch.facts()).stage == "finalizing"
    await batch.store.release("batch.read")
    await batch.close(await batch.reader.take())
    done = await batch.facts()
    assert (done.stage, done.error_file) == ("completed", None)
    assert set(await batch.told(done.output_file)) == {f"c{n}" for n in range(LINES)}


async def test_lines_that_broke_off_go_on_where_they_stopped(batch: Steps, monkeypatch: pytest.MonkeyPatch) -> None:
    """The store is away after the second slice; whoever comes next submits the rest, and nothing twice."""
    await batch.begin(content())
    submit, calls = batch.store.submit, 0

    async def break_off(jobs: Sequence[Job], **how: Any) -> int:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise StoreUnavailable("Redis does not answer.")
        return await submit(jobs, **how)

    with monkeypatch.context() as patched:
        patched.setattr(batch.store, "submit", break_off)
        with pytest.raises(StoreUnavailable):
            await batch.fill()
    assert len(await batch.jobs()) == 20
    await batch.fill()
    assert await batch.jobs() == [f"{batch.id}-{n}" for n in range(LINES)]
    assert (await batch.facts()).status.counts.total == LINES


async def test_lines_wait_while_their_sender_may_have_no_more(batch: Steps) -> None:
    """As many as the limits let in; the rest goes on when some have ended."""
    account = Account(TENANT, defaults=Limits(batch_backlog=15))
    await batch.begin(content(), tab=Tab(account))
    for done in (15, 15):
        with pytest.raises(Full, match="unfinished"):
            await batch.fill()
        assert len(await batch.engine.do_all()) == done
    await batch.fill()
    assert len(await batch.engine.do_all()) == LINES - 30
    assert (await batch.facts()).stage == "finalizing"


async def test_two_that_close_a_batch_write_its_files_once(batch: Steps) -> None:
    """The first one fell silent and comes back late: what it wrote is removed again."""
    await batch.begin(content(5))
    await batch.fill()
    await batch.engine.do_all()
    await batch.store.release("batch.read")
    late = await batch.reader.take()
    await batch.reader.commit(late.fence, Verdict.GIVE_BACK)
    await batch.store.release("batch.read")
    await batch.close(await batch.reader.take())
    before = {path for path in batch.store.directory.root.rglob("*") if path.is_file()}
    done = await batch.facts()
    await batch.close(late)
    assert {path for path in batch.store.directory.root.rglob("*") if path.is_file()} == before
    assert await batch.facts() == done
    assert len(await batch.told(done.output_file)) == 5


async def test_further_answers_that_end_late_are_waited_for(batch: Steps) -> None:
    """The line's own job ends the line; the files are written once all of its answers are there."""
    await batch.begin(line(0, n=2))
    await batch.fill()
    part, own = await batch.engine.take(), await batch.engine.take()
    assert (part.fence.job, own.fence.job) == (f"{batch.id}-0c1", f"{batch.id}-0")
    await batch.engine.commit(own.fence)
    assert (await batch.facts()).stage == "finalizing"
    await batch.store.release("batch.read")
    closing = await batch.reader.take()
    with pytest.raises(Full, match="further answers"):
        await batch.close(closing)
    await batch.engine.commit(part.fence)
    await batch.close(closing)
    done = await batch.facts()
    counts = (done.status.counts.total, done.status.counts.succeeded)
    told = (await batch.told(done.output_file))["c0"]["response"]["body"]["choices"]
    assert (done.stage, counts, len(told)) == ("completed", (1, 1), 2)


async def test_a_line_that_is_half_done_when_its_batch_is_paused_gets_its_other_answers(batch: Steps) -> None:
    """Its own job ends in the pause, and the batch with it: what the line still waits for was cancelled then."""
    await batch.begin(line(0, n=3))
    await batch.fill()
    waits, runs = await batch.engine.take(), await batch.engine.take()
    await batch.store.release("batch.noop")
    own = await batch.engine.take()
    await batch.store.pause(batch.id)
    await batch.engine.commit(waits.fence, Verdict.GIVE_BACK)
    await batch.engine.commit(own.fence)
    await upkeep(batch.store).sweep()
    assert await batch.engine.commit(runs.fence) == ("ok", "succeeded")
    assert await batch.engine.do_all() == [waits.fence.job]
    await batch.store.release("batch.read")
    await batch.close(await batch.reader.take())
    done = await batch.facts()
    told = (await batch.told(done.output_file))["c0"]["response"]["body"]["choices"]
    assert (done.stage, len(told)) == ("completed", 3)


async def test_lines_that_never_became_jobs_are_told_after_a_cancel(
    batch: Steps, monkeypatch: pytest.MonkeyPatch
) -> None:
    await batch.begin(content())
    submit = batch.store.submit

    async def cancelled_then(jobs: Sequence[Job], **how: Any) -> int:
        taken = await submit(jobs, **how)
        await batch.store.cancel_batch(batch.id)
        return taken

    monkeypatch.setattr(batch.store, "submit", cancelled_then)
    await batch.fill()
    assert (len(await batch.jobs()), (await batch.facts()).stage) == (10, "cancelling")
    await batch.store.release("batch.read")
    await batch.close(await batch.reader.take())
    done = await batch.facts()
    assert (done.stage, done.output_file) == ("cancelled", None)
    told = await batch.told(done.error_file)
    assert set(told) == {f"c{n}" for n in range(LINES)}
    assert {one["error"]["code"] for one in told.values()} == {"batch_cancelled"}


async def test_a_defect_ends_the_batch_and_tells_nothing_of_its_lines(
    batch: Steps, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def defect(*_given: object) -> None:
        raise RuntimeError("secret words")

    monkeypatch.setattr(linesin, "check", defect)
    await batch.begin(content())
    await batch.fill()
    found = await batch.facts()
    assert (found.stage, [fault.code for fault in found.errors]) == ("failed", ["internal"])
    assert "RuntimeError" in caplog.text and "secret" not in caplog.text


async def test_a_model_that_nobody_serves_is_answered_with_those_that_are(batch: Steps) -> None:
    """As a chat is: else nobody knows what to write instead."""
    await batch.begin(line(0, model="gpt-7"))
    await batch.fill()
    (fault,) = (await batch.facts()).errors
    assert (fault.code, fault.param) == ("model_not_found", "body.model")
    assert fault.message.startswith("body.model: nobody serves the model that was asked for. Served here: noop")


def asks(file: dict[str, str]) -> list[dict[str, Any]]:
    """A turn about a document."""
    return [{"role": "user", "content": [{"type": "text", "text": "Whose is it?"}, {"type": "file", "file": file}]}]


async def test_files_inside_the_chats_of_lines_are_read(batch: Steps) -> None:
    """Those that were uploaded, and those that the line brings; what cannot be read is its own line's fault."""
    blob, theirs = await batch.store.blobs.put(b"The lease is Anna's."), f"file-{'1' * 26}"
    mine, about = f"file-{'0' * 26}", ["filename", "lease.txt", "purpose", "user_data", "sha256", "0"]
    await files.put(batch.store, mine, payer=Account(TENANT), blob=blob, keep_s=None, about=about)
    await files.put(batch.store, theirs, payer=Account("ben@lab"), blob=blob, keep_s=None, about=about)
    data = base64.b64encode(b"The bill is Ben's.").decode()
    said = [{"file_id": mine}, {"file_data": data, "filename": "bill.txt"}, {"file_id": theirs}]
    said.append({"file_data": base64.b64encode(b"%PDF-1.7 nothing").decode(), "filename": "a.pdf"})
    stored = {path for path in batch.store.directory.root.rglob("*") if path.is_file()}
    await batch.begin(b"".join(line(at, messages=asks(file)) for at, file in enumerate(said)) + line(4))
    await batch.fill()
    heard = {}
    for _ in range(3):
        await batch.store.release("batch.noop")
        claim = await batch.engine.take()
        work = await claim.input(batch.store)
        assert isinstance(work, ChatInput)
        heard[claim.fence.job.rpartition("-")[2]] = work.messages[0].content
        await batch.engine.commit(claim.fence)
    assert heard == {
        "0": 'Whose is it?\n<document name="lease.txt">\nThe lease is Anna\'s.\n</document>',
        "1": 'Whose is it?\n<document name="bill.txt">\nThe bill is Ben\'s.\n</document>',
        "4": "hello",
    }
    await batch.refuse()
    await batch.store.release("batch.read")
    await batch.close(await batch.reader.take())
    done = await batch.facts()
    told = await batch.told(done.error_file)
    faults = {one: (told[one]["response"]["status_code"], told[one]["response"]["body"]["error"]) for one in told}
    assert {one: (status, error["code"], error["param"]) for one, (status, error) in faults.items()} == {
        "c2": (404, "not_found", "messages.0.content.1.file.file_id"),
        "c3": (400, "damaged", "messages.0.content.1.file"),
    }
    left = {path for path in batch.store.directory.root.rglob("*") if path.is_file()} - stored
    assert not [path for path in left if b"Ben's" in path.read_bytes()[:100]]


async def ask_about_one(batch: Steps, lines: int, parts: int = 1) -> bytes:
    """Lines about one uploaded file."""
    blob = await batch.store.blobs.put(b"The lease is Anna's.")
    mine, about = f"file-{'0' * 26}", ["filename", "lease.txt", "purpose", "user_data", "sha256", "0"]
    await files.put(batch.store, mine, payer=Account(TENANT), blob=blob, keep_s=None, about=about)
    part = {"type": "file", "file": {"file_id": mine}}
    return b"".join(line(at, messages=[{"role": "user", "content": [part] * parts}]) for at in range(lines))


async def test_a_file_that_many_lines_ask_about_is_read_once(batch: Steps, monkeypatch: pytest.MonkeyPatch) -> None:
    """But not for a line that came after it was deleted."""
    opened, resolve = [], Attachments.resolve
    open_ = Reader.open

    async def counted(reader: Reader, path: Path, **how: Any) -> Contents:
        opened.append(path)
        return await open_(reader, path, **how)

    async def deleted_then(self: Attachments, body: ChatBody, *given: Any) -> ChatBody:
        found = await resolve(self, body, *given)
        if len(await batch.jobs()) == 2:
            await files.delete(batch.store, TENANT, f"file-{'0' * 26}")
        return found

    monkeypatch.setattr(Reader, "open", counted)
    monkeypatch.setattr(Attachments, "resolve", deleted_then)
    await batch.begin(await ask_about_one(batch, 4, parts=3))
    await batch.fill()
    assert (len(opened), len(await batch.jobs())) == (1, 4)
    await batch.refuse()
    last = (await batch.store.rows_of([f"{batch.id}-3"]))[f"{batch.id}-3"]
    assert last.error is not None and last.error.code == "not_found"


async def test_documents_of_a_batch_let_other_work_have_the_readers(
    batch: Steps, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever sends 50,000 lines about long documents would hold a reader for days."""
    monkeypatch.setattr(linefiles, "TURN_S", 0.0)
    await batch.begin(await ask_about_one(batch, 3))
    claim = await batch.reader.take()
    other = Steps(batch.store)
    await other.begin(content())
    await batch.store.release("batch.read")
    with pytest.raises(Full):
        await batch.fill(claim)
    found = await batch.facts()
    assert len(await batch.jobs()) == 1
    assert found.status.held == linesin.OTHERS
    await other.fill(await batch.reader.take())
    await batch.fill(await batch.reader.take())
    assert (len(await batch.jobs()), (await batch.facts()).status.held) == (3, None)
