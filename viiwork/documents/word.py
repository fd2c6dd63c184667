"""Word documents (docx): paragraphs, headings and tables in the order in which they are read.

python-docx opens the package and knows the styles; the text is gathered from the XML itself, because its
`paragraph.text` leaves out content controls and tracked insertions, which templates and contracts are full of.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from typing import Any

import docx
from docx.opc.exceptions import OpcError
from docx.oxml.ns import qn
from lxml import etree  # type: ignore[import-untyped]  # lxml ships no types

from viiwork.documents.document import Document, find_headings, tidy, title_of
from viiwork.documents.limits import Limits
from viiwork.documents.origin import author_of, day_of
from viiwork.documents.outcomes import Unread
from viiwork.documents.package import DAMAGE, check_package, parse_xml
from viiwork.documents.tables import markdown_table
from viiwork.documents.unseen import notes_for
from viiwork.documents.wordunseen import unseen_in

MEDIA_TYPE = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
MAX_SPAN = 64
BROKEN = (OpcError, *DAMAGE)

_PARAGRAPH, _TABLE, _ROW, _CELL = qn("w:p"), qn("w:tbl"), qn("w:tr"), qn("w:tc")
_TEXT, _TAB, _BREAKS = qn("w:t"), qn("w:tab"), {qn("w:br"), qn("w:cr")}
# Text boxes come twice (once for old programs); deleted and moved-away text is no longer part of the document.
_SKIPPED = {
    "{http://schemas.openxmlformats.org/markup-compatibility/2006}Fallback",
    qn("w:del"),
    qn("w:moveFrom"),
    qn("w:pPr"),
    qn("w:rPr"),
}
_HEADING_STYLE = re.compile(r"^(?:heading|überschrift|titre|título|titolo) ?([1-9])$", re.IGNORECASE)


def read_docx(data: bytes, limits: Limits) -> Document:
    """The text with one blank line between blocks; tables are Markdown."""
    check_package(data, limits)
    try:
        package = docx.Document(io.BytesIO(data))
        blocks = list(_blocks(package.element.body, _heading_levels(package)))
        blocks += [(0, note) for note in _footnotes(package)]
        unseen = unseen_in(package.element.body, package.styles.element)
        told = package.core_properties
        title, author, created = title_of(told.title or ""), author_of(told.author or ""), day_of(told.created)
    except BROKEN as error:
        raise Unread("damaged") from error
    page = tidy("\n\n".join(text for _, text in blocks))
    headings = find_headings(page, ((level, text) for level, text in blocks if level))
    return Document(
        media_type=MEDIA_TYPE,
        pages=(page,),
        title=title or (headings[0].text if headings else ""),
        headings=headings,
        notes=notes_for(unseen),
        author=author,
        created=created,
    )


def _heading_levels(package: Any) -> dict[str, int]:
    """The styles that are headings, by id; `Title` is level 1."""
    levels = {}
    for style in package.styles.element.style_lst:
        name = (style.name_val or "").strip()
        if match := _HEADING_STYLE.match(name):
            levels[style.styleId] = int(match[1])
        elif name.lower() == "title":
            levels[style.styleId] = 1
    return levels


def _blocks(parent: Any, levels: dict[str, int]) -> Iterator[tuple[int, str]]:
    """Level (0 for no heading) and text of each block; content controls and the like are looked into."""
    for element in parent.iterchildren(tag=etree.Element):
        if element.tag == _PARAGRAPH:
            if text := _paragraph_text(element).strip():
                yield levels.get(_style_id(element), 0), text
        elif element.tag == _TABLE:
            if text := _table_text(element):
                yield 0, text
        elif element.tag not in _SKIPPED:
            yield from _blocks(element, levels)


def _style_id(paragraph: Any) -> str:
    style = paragraph.find(f"{qn('w:pPr')}/{qn('w:pStyle')}")
    return str(style.get(qn("w:val"), "")) if style is not None else ""


def _paragraph_text(paragraph: Any) -> str:
    return "".join(_runs(paragraph))


def _runs(element: Any) -> Iterator[str]:
    for child in element.iterchildren(tag=etree.Element):
        if child.tag == _TEXT:
            yield child.text or ""
        elif child.tag == _TAB:
            yield "\t"
        elif child.tag in _BREAKS:
            yield "\n"
        elif child.tag not in _SKIPPED:
            if child.tag == _PARAGRAPH:
                yield "\n"  # a paragraph inside a paragraph is one of a text box
            yield from _runs(child)


def _table_text(table: Any) -> str:
    return markdown_table(list(_cells(row)) for row in _rows(table))


def _cells(row: Any) -> Iterator[str]:
    """The texts of a row's cells; one that spans columns is followed by empty ones, to keep the others in theirs."""
    for cell in row.iter(_CELL):
        if _owner(cell) is row:
            yield _cell_text(cell)
            yield from [""] * (_span(cell) - 1)


def _span(cell: Any) -> int:
    span = cell.find(f"{qn('w:tcPr')}/{qn('w:gridSpan')}")
    told = str(span.get(qn("w:val"), "")) if span is not None else ""
    return min(int(told), MAX_SPAN) if told.isdecimal() else 1


def _rows(table: Any) -> Iterator[Any]:
    for element in table.iterchildren(tag=etree.Element):
        if element.tag == _ROW:
            yield element
        elif element.tag not in _SKIPPED and element.tag != _TABLE:
            yield from _rows(element)


def _owner(cell: Any) -> Any:
    """The row that a cell is in: its parent, but for content controls between the two."""
    return next(cell.iterancestors(_ROW))


def _cell_text(cell: Any) -> str:
    return " ".join(" ".join(text.split()) for _, text in _blocks(cell, {}))


def _footnotes(package: Any) -> Iterator[str]:
    """Footnotes and endnotes, after the text, in their own order."""
    for relation in package.part.rels.values():
        if not relation.is_external and relation.reltype.rsplit("/", 1)[-1] in ("footnotes", "endnotes"):
            root = parse_xml(relation.target_part.blob)
            yield from (text for note in root for _, text in _blocks(note, {}))
