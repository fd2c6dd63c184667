"""`reading`: PDFs through the whole bounded reader beside plain pypdfium2, which takes their text in one process.

One document at a time on both sides, in turn. Ours is everything from the file to the Document in its owner's hands: a
child process with limits, the text, hidden and garbled text, form fields, what the document is called and the language
it is in, the way back. Its processor time is that of the owner, the helper and the helper's children.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil
import pypdfium2

from bench.machine import machine
from bench.pdfs import made, manuals
from bench.report import Figure, Goal, Report
from bench.rig import Rig
from bench.rounds import median, ratios
from viiwork.documents.reader import Reader

LONG_PAGES = 20
GROUP = "one tenant"
GOALS = (Goal("cpu_ratio", at_least=0.7), Goal("cpu_ratio_lowest_document", at_least=0.7))


@dataclass(frozen=True, slots=True)
class Cost:
    """Of reading one document some times."""

    cpu_s: float
    wall_s: float


@dataclass(frozen=True, slots=True)
class Pair:
    """Both sides of one document, round by round."""

    pages: int
    ours: list[Cost]
    plain: list[Cost]

    @property
    def cpu_ratio(self) -> float:
        """Of the pages a second of processor time: the median over the rounds."""
        return median(ratios([1 / cost.cpu_s for cost in self.ours], [1 / cost.cpu_s for cost in self.plain]))

    @property
    def wall_ratio(self) -> float:
        return median(ratios([1 / cost.wall_s for cost in self.ours], [1 / cost.wall_s for cost in self.plain]))


async def run(rig: Rig, *, jobs: int, rounds: int) -> Report:  # noqa: ARG001 - no queue in it; as all scenarios
    """`jobs`: how often a document is read each time, for processor time is counted in hundredths of a second."""
    where = machine()
    with TemporaryDirectory(prefix="viiwork-bench-") as folder:
        documents = _long({**manuals(Path(folder)), **made()})
        paths = {name: Path(folder) / name for name in documents}
        for name, path in paths.items():
            path.write_bytes(documents[name])
        async with Reader() as reader:
            pairs = await _measured(reader, paths, times=jobs, rounds=rounds)
    return Report("reading", {**_figures(pairs, times=jobs), **where}, goals=GOALS)


def _long(documents: Mapping[str, bytes]) -> dict[str, bytes]:
    return {name: data for name, data in documents.items() if _pages(data) >= LONG_PAGES}


def _pages(data: bytes) -> int:
    with pypdfium2.PdfDocument(data) as pdf:
        return len(pdf)


async def _measured(reader: Reader, paths: Mapping[str, Path], *, times: int, rounds: int) -> dict[str, Pair]:
    pairs = {name: Pair(_pages(path.read_bytes()), [], []) for name, path in paths.items()}
    for path in paths.values():  # the helper starts, the kernel has the files
        await reader.read(path, group=GROUP)
    for _ in range(rounds):
        for name, path in paths.items():
            pairs[name].plain.append(await _cost(_plainly, path, times))
            pairs[name].ours.append(await _cost(partial(reader.read, group=GROUP), path, times))
    return pairs


async def _cost(read: Callable[[Path], Awaitable[object]], path: Path, times: int) -> Cost:
    """To look for the helpers takes 8 ms of this process, which are in neither side's time."""
    helpers_s, own_s, wall_s = _helpers_s(), time.process_time(), time.perf_counter()
    for _ in range(times):
        await read(path)
    own_s, wall_s = time.process_time() - own_s, time.perf_counter() - wall_s
    return Cost(own_s + _helpers_s() - helpers_s, wall_s)


async def _plainly(path: Path) -> None:
    """A coroutine only because the other side is one."""
    _take_text(path)


def _take_text(path: Path) -> None:
    with pypdfium2.PdfDocument(path.read_bytes()) as pdf:
        for page in pdf:
            textpage = page.get_textpage()
            textpage.get_text_range()
            textpage.close()
            page.close()


def _helpers_s() -> float:
    """Processor time of the helper and of its children, whether they have ended or wait for more."""
    helpers = [child for child in psutil.Process().children() if "viiwork.documents.nursery" in child.cmdline()]
    waiting = [child for helper in helpers for child in helper.children()]
    living = sum(sum(one.cpu_times()[:2]) for one in waiting)
    return living + sum(sum(helper.cpu_times()[:4]) for helper in helpers)


def _figures(pairs: Mapping[str, Pair], *, times: int) -> dict[str, Figure]:
    read = [(pair.pages * times, median(cost.cpu_s for cost in pair.ours)) for pair in pairs.values()]
    plain = [(pair.pages * times, median(cost.cpu_s for cost in pair.plain)) for pair in pairs.values()]
    return {
        "documents": len(pairs),
        "pages": sum(pair.pages for pair in pairs.values()),
        "ours_pages_per_cpu_second": sum(pages for pages, _ in read) / sum(took for _, took in read),
        "plain_pages_per_cpu_second": sum(pages for pages, _ in plain) / sum(took for _, took in plain),
        "cpu_ratio": median(pair.cpu_ratio for pair in pairs.values()),
        "cpu_ratio_lowest_document": min(pair.cpu_ratio for pair in pairs.values()),
        "wall_ratio": median(pair.wall_ratio for pair in pairs.values()),
        **{f"cpu_ratio_{name.removesuffix('.pdf')}": pair.cpu_ratio for name, pair in pairs.items()},
    }
