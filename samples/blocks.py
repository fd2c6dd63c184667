"""The little markup that the sources of the sample documents are written in, read into blocks."""

from __future__ import annotations

import re
from dataclasses import dataclass

BULLET = re.compile(r"^- ")
NUMBERED = re.compile(r"^\d+\. ")


@dataclass(frozen=True, slots=True)
class Heading:
    """A heading; level 1 is the document's title."""

    level: int
    text: str


@dataclass(frozen=True, slots=True)
class Paragraph:
    """Lines that stay lines, as in an address."""

    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Items:
    """A list, numbered or with bullets."""

    lines: tuple[str, ...]
    numbered: bool


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of cells; the first row is the head."""

    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class PageBreak:
    """The next block starts a page."""


Block = Heading | Paragraph | Items | Table | PageBreak


def parse(source: str) -> list[Block]:
    """The blocks of `source`, which blank lines separate."""
    return [_block(part.splitlines()) for part in re.split(r"\n\s*\n", source.strip())]


def _block(lines: list[str]) -> Block:
    first = lines[0]
    if first == "<page>":
        return PageBreak()
    if heading := re.match(r"^(#+) (.+)", first):
        return Heading(len(heading[1]), heading[2])
    if first.startswith("|"):
        return Table(tuple(_cells(line) for line in lines if not line.startswith("| ---")))
    for pattern in (BULLET, NUMBERED):
        if all(pattern.match(line) for line in lines):
            return Items(tuple(pattern.sub("", line) for line in lines), numbered=pattern is NUMBERED)
    return Paragraph(tuple(lines))


def _cells(line: str) -> tuple[str, ...]:
    return tuple(cell.strip() for cell in line.strip().strip("|").split("|"))
