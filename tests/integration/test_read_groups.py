"""Documents of one owner that share a reading process, and what none of them may do to the next."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
import pytest_asyncio

from tests.workers import eventually
from viiwork.documents import Limits
from viiwork.documents.nursery import IDLE_S, MOST_IDLE
from viiwork.documents.readchild import SHARED
from viiwork.documents.reader import Reader
from viiwork.errors import DocumentError

NURSERY = "acting_nursery.py"
SCRIPT = """
import os, sys, time
from pathlib import Path
from viiwork.documents import nursery, readchild
nursery.IDLE_S = {idle_s}
from viiwork.documents.contents import Contents
from viiwork.documents.document import Document
from viiwork.documents.outcomes import Unread
seen = []
def told(path, *, name, limits, way):
    seen.append(path)
    exec(Path(path).read_text())
    return Contents(Document(media_type="text/plain", pages=(str(os.getpid()),)))
readchild.look_into = told
nursery.main()
"""
"""A document is a line of Python that the real child runs; its text is the process that it was read in."""
SPIN = "end = time.process_time() + 0.7\nwhile time.process_time() < end: pass"


@pytest.fixture
def idle_s() -> float:
    """For how long a process waits for another document: here for as long as a test may take."""
    return 600.0


@pytest_asyncio.fixture
async def reader(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, idle_s: float) -> AsyncIterator[Reader]:
    script = tmp_path / NURSERY
    script.write_text(SCRIPT.format(idle_s=idle_s))
    monkeypatch.setattr("viiwork.documents.helper.COMMAND", (sys.executable, "-P", str(script)))
    async with Reader(Limits(cpu_s=2)) as reading:
        yield reading


@pytest.fixture
def document(tmp_path: Path) -> Path:
    path = tmp_path / "document"
    path.write_text("pass")
    return path


async def process_of(reader: Reader, path: Path, *, group: str = "anna", does: str = "pass") -> int:
    path.write_text(does)
    return int((await reader.read(path, group=group)).text)


def children() -> list[psutil.Process]:
    """Of the reading helper."""
    return [child for helper in psutil.Process().children() if reads(helper) for child in helper.children()]


def reads(process: psutil.Process) -> bool:
    """Whether it is a reading helper: services that earlier tests share are children too."""
    with suppress(psutil.Error):
        return any(word.endswith(NURSERY) for word in process.cmdline())
    return False


async def test_documents_of_one_group_share_a_process_and_those_of_two_never(reader: Reader, document: Path) -> None:
    """Nor do those of none."""
    anna, again = await process_of(reader, document), await process_of(reader, document)
    ben = await process_of(reader, document, group="ben")
    alone = [await process_of(reader, document, group="") for _ in range(2)]
    assert anna == again == await process_of(reader, document)
    assert len({anna, ben, *alone}) == 4


async def test_a_process_reads_so_many_and_no_more(reader: Reader, document: Path) -> None:
    """What a document left behind in it does not stay for ever."""
    processes = [await process_of(reader, document) for _ in range(SHARED + 1)]
    assert len(set(processes[:SHARED])) == 1
    assert processes[SHARED] != processes[0]


@pytest.mark.parametrize("end", ["os.abort()", "os._exit(3)", "1 / 0", "raise MemoryError"])
async def test_one_that_fails_after_others_is_read_again_alone(reader: Reader, document: Path, end: str) -> None:
    """It may be the fault of those before it; the process is not used again."""
    first = await process_of(reader, document)
    second = await process_of(reader, document, does=f"if len(seen) > 1: {end}")
    assert len({first, second, await process_of(reader, document)}) == 3


@pytest.mark.parametrize(("end", "code"), [("os.abort()", "crash"), ("raise Unread('damaged')", "damaged")])
async def test_one_that_fails_by_itself_fails(reader: Reader, document: Path, end: str, code: str) -> None:
    """With its own reason, and the next has another process."""
    first = await process_of(reader, document)
    with pytest.raises(DocumentError) as told:
        await process_of(reader, document, does=end)
    assert told.value.code == code
    assert await process_of(reader, document) != first


async def test_each_has_all_the_processor_time_that_is_allowed(reader: Reader, document: Path) -> None:
    """Four of 0.7 s are more than the 2 s of one; one that takes more ends, and is no crash."""
    assert len({await process_of(reader, document, does=SPIN) for _ in range(4)}) == 1
    with pytest.raises(DocumentError) as told:
        await process_of(reader, document, does="while True: pass")
    assert told.value.code == "timeout"


async def test_a_document_that_outgrew_the_process_is_its_last(reader: Reader, document: Path) -> None:
    """What is free again lies in pieces."""
    first = await process_of(reader, document, does="bytearray(300 * 2**20)")
    assert await process_of(reader, document) != first


async def test_idle_processes_are_few(reader: Reader, document: Path) -> None:
    """The oldest goes when there are more."""
    used = [await process_of(reader, document, group=f"tenant {number}") for number in range(MOST_IDLE + 2)]

    async def left() -> bool:
        return {child.pid for child in children()} == {*used[2:]}

    await eventually(left, what="the two oldest are gone")


@pytest.mark.parametrize("idle_s", [IDLE_S])
async def test_idle_processes_end_by_themselves(reader: Reader, document: Path) -> None:
    """And the next document has another one."""
    assert await process_of(reader, document) in {child.pid for child in children()}

    async def gone() -> bool:
        return not children()

    await eventually(gone, what="the idle process ends")
    assert await process_of(reader, document)


async def test_a_process_that_is_killed_while_idle_harms_nobody(reader: Reader, document: Path) -> None:
    """Even when a document comes to it at that moment."""
    for _ in range(5):
        first = await process_of(reader, document)
        psutil.Process(first).kill()
        assert await process_of(reader, document) != first


async def test_many_at_once_come_back_each_with_its_own(reader: Reader, tmp_path: Path) -> None:
    """Of two groups, some of which end their process."""
    paths = [tmp_path / f"{n}" for n in range(60)]
    for n, path in enumerate(paths):
        path.write_text("os.abort()" if n % 10 == 9 else "pass")
    limit = asyncio.Semaphore(4)

    async def read(n: int) -> bool:
        async with limit:
            try:
                return bool(await reader.read(paths[n], group=f"g{n % 2}"))
            except DocumentError as error:
                return error.code != "crash"

    assert await asyncio.gather(*(read(n) for n in range(60))) == [n % 10 != 9 for n in range(60)]
