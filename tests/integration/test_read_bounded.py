"""What happens to the process that reads a document stays there: real processes, real limits, real signals."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import psutil
import pytest
import pytest_asyncio

from tests.documents_made import (
    make_bomb_docx,
    make_bomb_pdf,
    make_docx,
    make_encrypted_pdf,
    make_pdf,
    make_pptx,
    make_xlsx,
    make_xlsx_of,
    replace_part,
)
from viiwork.documents import Limits
from viiwork.documents.reader import Reader, judge
from viiwork.errors import DocumentError

MIB = 1024 * 1024
HELPER = "viiwork.documents.nursery"
ENDLESS = """
import socket, sys, time
from pathlib import Path
from viiwork.documents import nursery, readchild
def endless(path, *, name, limits, way):
    {act}
readchild.look_into = endless
nursery.main()
"""


@pytest_asyncio.fixture
async def reader() -> AsyncIterator[Reader]:
    async with Reader() as reading:
        yield reading


@pytest.fixture
def acting(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[str], None]:
    """Replace what the child does by one line of Python; everything around it is the real thing."""

    def act(line: str) -> None:
        script = tmp_path / "acting_nursery.py"
        script.write_text(ENDLESS.format(act=line))
        monkeypatch.setattr("viiwork.documents.helper.COMMAND", (sys.executable, "-P", str(script)))

    return act


def write(folder: Path, name: str, data: bytes) -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


def processes_below(pid: int) -> list[psutil.Process]:
    """The helper and its children; the server that other tests share is below this process too."""
    return [process for process in psutil.Process(pid).children(recursive=True) if _reads(process)]


def _reads(process: psutil.Process) -> bool:
    try:
        return "nursery" in " ".join(process.cmdline())
    except psutil.Error:
        return False


def open_descriptors() -> int:
    return psutil.Process().num_fds()


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not holds():
            await asyncio.sleep(0.02)


async def code_of(reader: Reader, path: Path) -> str:
    with pytest.raises(DocumentError) as caught:
        await reader.read(path)
    assert path.name not in str(caught.value)
    assert caught.value.hint
    return caught.value.code


async def test_a_document_comes_back_whole(reader, tmp_path):
    document = await reader.read(write(tmp_path, "blob", make_pdf(["One", ""], title="T")), name="scan.pdf")
    assert document.pages == ("One", "")
    assert document.notes == ("Page 2 has no text layer (no OCR).",)
    assert (document.title, document.characters) == ("T", 3)


async def test_without_a_name_the_files_own_is_taken(reader, tmp_path):
    document = await reader.read(write(tmp_path, "a.txt", make_pdf(["One"])))
    assert document.notes


async def test_text_that_is_big_and_strange_comes_back_as_it_is(reader, tmp_path):
    text = 'äöü 🙂 \\ " \u2028\n' * 200_000
    document = await reader.read(write(tmp_path, "a.txt", text.encode()))
    assert document.text == text.replace("\u2028", "\n").replace(" \n", "\n").replace("\n\n\n\n", "\n\n\n").strip("\n")


async def test_many_documents_are_read_at_the_same_time_and_none_gets_the_text_of_another(reader, tmp_path):
    paths = [write(tmp_path, f"{number}.txt", b"number %d" % number) for number in range(60)]
    documents = await asyncio.gather(*(reader.read(path) for path in paths))
    assert [document.text for document in documents] == [f"number {number}" for number in range(60)]


async def test_bad_documents_beside_good_ones_have_each_their_own_outcome(reader, tmp_path):
    good = write(tmp_path, "good.docx", make_docx())
    bad = {
        "empty": write(tmp_path, "empty.pdf", b""),
        "encrypted": write(tmp_path, "locked.pdf", make_encrypted_pdf(password="x")),
        "damaged": write(tmp_path, "cut.docx", make_docx()[:2000]),
        "binary": write(tmp_path, "noise.txt", bytes(range(256)) * 9),
        "no_text_layer": write(tmp_path, "scan.pdf", make_pdf([""])),
        "unreadable": tmp_path / "nowhere.txt",
    }
    results = await asyncio.gather(*(code_of(reader, path) for path in bad.values()), reader.read(good))
    assert results[:-1] == list(bad)


async def test_a_zip_bomb_is_refused_without_unpacking_it(reader, tmp_path):
    assert await code_of(reader, write(tmp_path, "bomb.docx", make_bomb_docx(64 * MIB))) == "zip_bomb"


async def test_slides_and_sheets_come_back_through_their_processes(reader, tmp_path):
    deck = write(tmp_path, "deck.pptx", make_pptx([("Plan", "First")]))
    book = write(tmp_path, "book.xlsx", make_xlsx({"Rent": [["Room", "Euros"], ["Kitchen", 300]]}))
    documents = await asyncio.gather(reader.read(deck), reader.read(book))
    assert [document.text.split("\n")[0] for document in documents] == ["Plan", "Rent"]


async def test_hostile_slides_and_sheets_have_each_their_own_outcome(reader, tmp_path):
    deck, book = make_pptx([("Plan", "First")]), make_xlsx({"Rent": [["a"]]})
    groups = b"<p:grpSp>" * 200_000
    cells = "".join(f'<row r="{row}"><c r="XFD{row}"><v>1</v></c></row>' for row in range(1, 40_000))
    bad = {
        "damaged": write(tmp_path, "deep.pptx", replace_part(deck, "ppt/slides/slide1.xml", groups)),
        "zip_bomb": write(tmp_path, "bomb.xlsx", replace_part(book, "xl/worksheets/sheet1.xml", bytes(64 * MIB))),
    }
    results = await asyncio.gather(*(code_of(reader, path) for path in bad.values()))
    assert results == list(bad)
    wide = await reader.read(write(tmp_path, "wide.xlsx", make_xlsx_of(cells)))
    assert wide.notes[0].startswith("The workbook is too long")
    text = "<row>" + '<c t="inlineStr"><is><t>a</t></is></c>' * 100 + "</row>"
    async with Reader(Limits(cpu_s=1)) as hurried:
        assert await code_of(hurried, write(tmp_path, "long.xlsx", make_xlsx_of(text * 4_000))) == "timeout"


async def test_a_stream_bomb_in_a_pdf_does_not_get_past_its_process(tmp_path):
    async with Reader(Limits(memory_bytes=400 * MIB, cpu_s=5)) as reader:
        bomb = write(tmp_path, "bomb.pdf", make_bomb_pdf(300 * MIB))
        assert await code_of(reader, bomb) in ("crash", "damaged", "no_text_layer", "timeout", "too_big")
        assert (await reader.read(write(tmp_path, "ok.txt", b"still here"))).text == "still here"


async def test_a_hundred_megabytes_of_text_are_too_big_and_not_a_crash(reader, tmp_path):
    path = tmp_path / "huge.txt"
    with path.open("wb") as file:
        for _ in range(100):
            file.write(b"all work and no play makes jack a dull boy " * (MIB // 43))
    assert await code_of(reader, path) == "too_big"


async def test_text_over_the_output_limit_is_too_big(tmp_path):
    async with Reader(Limits(output_bytes=1000)) as reader:
        assert await code_of(reader, write(tmp_path, "a.txt", b"x" * 2000)) == "too_big"


async def test_memory_over_the_limit_is_too_big(reader, tmp_path, acting):
    acting("hold = [bytes(64 << 20) for _ in range(100)]")
    assert await code_of(reader, tmp_path) == "too_big"


async def test_the_wall_clock_ends_a_document_that_sleeps(tmp_path, acting):
    acting("time.sleep(600)")
    async with Reader(Limits(wall_s=0.2)) as reader:
        assert await code_of(reader, tmp_path) == "timeout"


async def test_the_cpu_clock_ends_a_document_that_spins(tmp_path, acting):
    acting("exec('while True: pass')")
    async with Reader(Limits(cpu_s=1)) as reader:
        assert await code_of(reader, tmp_path) == "timeout"


@pytest.mark.parametrize(
    "act",
    [
        "__import__('os').abort()",
        "__import__('os').kill(__import__('os').getpid(), 11)",
        "__import__('os')._exit(7)",
        "1 / 0",
        "raise SystemExit(0)",
        "__import__('os').write(3, b'not json')",
        "__import__('os').write(3, b'{\"document\": 5}') and __import__('os')._exit(0)",
    ],
)
async def test_whatever_a_parser_does_to_its_process_is_a_crash(reader, tmp_path, acting, act):
    acting(act)
    assert await code_of(reader, tmp_path) == "crash"


async def test_a_flood_from_a_child_is_cut_off_and_the_child_ended(tmp_path, acting):
    acting('exec(\'while True: __import__("os").write(3, b"x" * 65536)\')')
    async with Reader(Limits(output_bytes=MIB)) as reader:
        assert await code_of(reader, tmp_path) == "too_big"
        await until(lambda: len(processes_below(os.getpid())) == 1)


async def test_a_child_cannot_write_files_open_many_or_see_the_owners_secrets(reader, tmp_path, acting, monkeypatch):
    monkeypatch.setenv("VIIWORK_REDIS_URL", "redis://:secret@host")
    acting(
        "import os; from viiwork.documents.outcomes import Unread; tried = []\n"
        f"    try: Path({str(tmp_path / 'made')!r}).write_text('x' * 9)\n"
        "    except OSError: tried.append('file')\n"
        "    try: [os.open('/dev/null', 0) for _ in range(500)]\n"
        "    except OSError: tried.append('many')\n"
        "    if not any('secret' in value for value in os.environ.values()): tried.append('env')\n"
        "    raise Unread('damaged', ': ' + ' '.join(tried))"
    )
    with pytest.raises(DocumentError, match=": file many env"):
        await reader.read(tmp_path)


async def test_cancelling_the_wait_kills_the_process_that_reads(reader, tmp_path, acting):
    acting("time.sleep(600)")
    task = asyncio.create_task(reader.read(tmp_path))
    await until(lambda: len(processes_below(os.getpid())) == 2)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await until(lambda: len(processes_below(os.getpid())) == 1)


async def test_a_dead_helper_is_replaced_under_the_documents_that_it_read(reader, tmp_path):
    path = write(tmp_path, "a.txt", b"text")
    await reader.read(path)
    for _ in range(2):
        (helper,) = processes_below(os.getpid())
        helper.kill()
        assert (await reader.read(path)).text == "text"


async def test_children_die_with_a_helper_that_is_killed(reader, tmp_path, acting):
    acting("time.sleep(600)")
    task = asyncio.create_task(reader.read(tmp_path))
    await until(lambda: len(processes_below(os.getpid())) == 2)
    helper = processes_below(os.getpid())[0]
    (child,) = helper.children()
    helper.kill()
    await until(lambda: not psutil.pid_exists(child.pid))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_nothing_is_left_after_close(tmp_path, acting):
    acting("time.sleep(600)")
    reader = Reader()
    descriptors = open_descriptors()
    waits = [asyncio.create_task(reader.read(tmp_path)) for _ in range(3)]
    await until(lambda: len(processes_below(os.getpid())) == 4)
    await reader.close()
    ends = await asyncio.gather(*waits, return_exceptions=True)
    assert [end.code for end in ends if isinstance(end, DocumentError)] == ["crash"] * 3
    await reader.close()
    assert processes_below(os.getpid()) == []
    assert open_descriptors() == descriptors


async def test_reading_hundreds_of_documents_leaks_no_descriptor(reader, tmp_path):
    path = write(tmp_path, "a.txt", b"text")
    await reader.read(path)
    before = open_descriptors()
    for _ in range(5):
        await asyncio.gather(*(reader.read(path) for _ in range(40)))
    assert open_descriptors() <= before


async def test_an_owner_that_is_killed_leaves_no_process_behind(tmp_path):
    script = tmp_path / "owner.py"
    script.write_text(
        "import asyncio, sys\nfrom pathlib import Path\nfrom viiwork.documents import helper\n"
        "from viiwork.documents.reader import Reader\n"
        f"helper.COMMAND = (sys.executable, '-P', {str(tmp_path / 'acting_nursery.py')!r})\n"
        "async def main():\n    await Reader().read(Path('.'))\nasyncio.run(main())\n"
    )
    (tmp_path / "acting_nursery.py").write_text(ENDLESS.format(act="time.sleep(600)"))
    owner = subprocess.Popen([sys.executable, str(script)], cwd=tmp_path)
    try:
        await until(lambda: len(processes_below(owner.pid)) == 2)
        left = processes_below(owner.pid)
        for pause in (signal.SIGSTOP, signal.SIGKILL):
            os.kill(owner.pid, pause)
        await asyncio.to_thread(owner.wait)
        await until(lambda: not any(process.is_running() for process in left))
    finally:
        owner.kill()
        owner.wait()


def test_an_answer_that_no_reader_gives_is_a_crash():
    for payload in (b"", b"[]", b'{"code": "nonsense"}', b'{"document": {"pages": "x"}}'):
        with pytest.raises(DocumentError) as caught:
            judge(payload)
        assert caught.value.code == "crash"


async def test_the_helper_ends_by_itself_when_only_a_fork_still_holds_its_link(tmp_path):
    """Its owner may have forked since: then the link stays open although the owner is gone."""
    script = tmp_path / "owner.py"
    script.write_text(
        "import asyncio, os, time\nfrom pathlib import Path\nfrom viiwork.documents.reader import Reader\n"
        "async def main():\n"
        "    reader = Reader()\n"
        "    await reader.read(Path(__file__))\n"
        "    print(reader._helper.pid, flush=True)\n"
        "    if os.fork() == 0:\n"
        "        os.close(1); time.sleep(30); os._exit(0)\n"
        "    os._exit(0)\n"
        "asyncio.run(main())\n"
    )
    owner = subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, start_new_session=True)
    try:
        out, _ = await asyncio.to_thread(owner.communicate)
        await until(lambda: not psutil.pid_exists(int(out)))
    finally:
        os.killpg(owner.pid, signal.SIGKILL)
