"""How much of a PDF's text is read: the Debian policy's, beside the text file made from the same source."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from bench.quality.desk import Desk
from bench.report import Figure, Goal, Report
from viiwork.documents import Document
from viiwork.documents.reader import Reader

GOALS = (Goal("recall_of_5_grams", at_least=0.93), Goal("recall_of_words", at_least=0.98))
FOLDER = "usr/share/doc/debian-policy"
WORD = re.compile(r"\w+")


async def measure(desk: Desk) -> Report:
    """Through the reader, in a bounded process as ever."""
    folder = desk.library.unpacked("debian-policy") / FOLDER
    reader = Reader()
    try:
        document = await reader.read(folder / "policy.pdf")
    finally:
        await reader.close()
    return Report("pdf", figures(document, (folder / "policy.txt").read_text("utf-8")), GOALS)


def figures(document: Document, text: str) -> dict[str, Figure]:
    """Shares of the text's words, and of its runs of five, that the document has too."""
    wanted, read = words(text), words(document.text)
    return {
        "recall_of_words": recall(wanted, read, run=1),
        "recall_of_5_grams": recall(wanted, read, run=5),
        "pages": len(document.pages),
        "words": len(wanted),
    }


def words(text: str) -> list[str]:
    """In small letters, without punctuation."""
    return WORD.findall(text.lower())


def recall(wanted: Sequence[str], read: Sequence[str], *, run: int) -> float:
    """The share of the runs of so many words that were read, each as often as it is wanted at most."""
    there, found = _runs(wanted, run), _runs(read, run)
    return (there & found).total() / max(1, there.total())


def _runs(told: Sequence[str], length: int) -> Counter[tuple[str, ...]]:
    return Counter(zip(*(told[at:] for at in range(length)), strict=False))
