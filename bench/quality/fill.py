"""Whether any part of any document is over its limit in tokens, and how full the parts are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.quality.desk import Desk
from bench.quality.packages import PACKAGES
from bench.report import Figure, Goal, Report
from viiwork.documents import Document
from viiwork.documents.chunk import MARGIN_TOKENS, chunk
from viiwork.documents.reader import Reader
from viiwork.documents.tokens import WORDLLAMA, TokenCounter, load_counter
from viiwork.errors import DocumentError

GOALS = (Goal("over_the_limit", at_most=0), Goal("characters_lost", at_most=0))
LIMITS = (256, 1024, 4096)
"""Tokens."""
ENDINGS = (".html", ".txt", ".pdf", ".md")


@dataclass(frozen=True, slots=True)
class Filled:
    """The parts of some documents under one limit."""

    parts: int = 0
    over: int = 0
    lost: int = 0
    """Characters that are not blank and in no part, or in two."""
    tokens: int = 0
    room: int = 0
    """What the parts could have held, the last one of each document left out, as in `tokens`."""

    def __add__(self, other: Filled) -> Filled:
        return Filled(
            self.parts + other.parts,
            self.over + other.over,
            self.lost + other.lost,
            self.tokens + other.tokens,
            self.room + other.room,
        )


async def measure(desk: Desk) -> Report:
    """All documents of all packages, read as ever and cut under each of the limits."""
    paths = [path for name in PACKAGES for path in papers(desk.library.unpacked(name))]
    documents, unread = await read(desk, paths)
    return Report("chunks", figures(desk, documents) | {"documents_unread": unread}, GOALS)


def papers(folder: Path) -> Iterator[Path]:
    """Whatever a person would call a document: pages, texts, cookies and manuals; not a script or a picture."""
    for path in sorted(folder.rglob("*")):
        cookies = "games/fortunes" in str(path) and not path.suffix
        if path.is_file() and (path.suffix in ENDINGS or "/man/" in str(path) or cookies):
            yield path


async def read(desk: Desk, paths: Sequence[Path]) -> tuple[list[Document], int]:
    """The documents, and how many could not be read: an index with nothing in it is no document."""
    documents, unread, reader = list[Document](), 0, Reader()
    try:
        for path in desk.watched(paths, "reading"):
            try:
                documents.append(await reader.read(path))
            except DocumentError:
                unread += 1
    finally:
        await reader.close()
    return documents, unread


def figures(desk: Desk, documents: Sequence[Document]) -> dict[str, Figure]:
    """By the tokenizer of Llama 2, which the extractive preview shares: the tokens of each part are counted anew."""
    count = load_counter(WORDLLAMA)
    sums = dict.fromkeys(LIMITS, Filled())
    for document in desk.watched(documents, "cutting"):
        for limit in LIMITS:
            sums[limit] += filled(document, limit, count)
    return {
        "over_the_limit": sum(one.over for one in sums.values()),
        "characters_lost": sum(one.lost for one in sums.values()),
        **{f"fill_at_{limit}": one.tokens / max(1, one.room) for limit, one in sums.items()},
        "documents": len(documents),
        "parts": sum(one.parts for one in sums.values()),
    }


def filled(document: Document, limit: int, count: TokenCounter) -> Filled:
    """What became of one document."""
    parts = chunk(document, limit_tokens=limit, count=count)
    tokens = [count(part.text) for part in parts]
    lost = abs(_dark(document.text) - sum(_dark(part.text) for part in parts))
    room = max(0, len(parts) - 1) * (limit - MARGIN_TOKENS)
    return Filled(len(parts), sum(one > limit for one in tokens), lost, sum(tokens[:-1]), room)


def _dark(text: str) -> int:
    """Characters that are not blank."""
    return sum(map(len, text.split()))
