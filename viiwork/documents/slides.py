"""Presentations (pptx): a page a slide, its title as a heading, then its text, tables, charts and the speaker's notes.

python-pptx opens the package and knows which slides there are, in which order; the text is gathered from the XML
itself, because its shapes leave out diagrams and what newer programs wrap in alternatives for older ones.
"""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Iterator
from typing import Any

import pptx
from lxml import etree  # type: ignore[import-untyped]  # lxml ships no types
from pptx.exc import PythonPptxError
from pptx.oxml.ns import qn

from viiwork.documents.document import PAGE_BREAK, Document, find_headings, named, tidy, title_of
from viiwork.documents.limits import Limits
from viiwork.documents.origin import author_of, day_of
from viiwork.documents.outcomes import Unread
from viiwork.documents.package import DAMAGE, check_package, parse_xml
from viiwork.documents.tables import markdown_table

MEDIA_TYPE = "application/vnd.openxmlformats-officedocument.presentationml.presentation"
MAX_SLIDES = 2_000
BROKEN = (PythonPptxError, *DAMAGE)
LOST = "[A chart or diagram that could not be read.]"

_SLIDE_PART = re.compile(r"ppt/slides/[^/]+\.xml")
_PARAGRAPH, _TEXT, _BREAK, _TAB = qn("a:p"), qn("a:t"), qn("a:br"), qn("a:tab")
_TABLE, _ROW, _CELL = qn("a:tbl"), qn("a:tr"), qn("a:tc")
_SHAPE, _FRAME, _PLACEHOLDER = qn("p:sp"), qn("p:graphicFrame"), qn("p:ph")
_FALLBACK = "{http://schemas.openxmlformats.org/markup-compatibility/2006}Fallback"
_DIAGRAM = "{http://schemas.openxmlformats.org/drawingml/2006/diagram}relIds"
_RELATION = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}"
_CHART = qn("c:chart")
_TITLES = ("title", "ctrTitle")
_FURNITURE = ("dt", "ftr", "hdr", "sldNum", "sldImg")
"""What stands on every slide: date, footer, header, number, and on notes the slide's picture."""


def read_pptx(data: bytes, limits: Limits) -> Document:
    """One page a slide; a slide without text is kept, empty, and named in the notes."""
    _check_slides(data)
    check_package(data, limits)
    try:
        deck = pptx.Presentation(io.BytesIO(data))
        slides = [_slide(slide) for slide in deck.slides]
        hidden = [number for number, slide in enumerate(deck.slides, 1) if slide.element.get("show") in ("0", "false")]
        told = deck.core_properties
        title, author, created = title_of(told.title or ""), author_of(told.author or ""), day_of(told.created)
    except BROKEN as error:
        raise Unread("damaged") from error
    pages = tuple(tidy("\n\n".join(blocks)) for _, blocks in slides)
    headings = find_headings(PAGE_BREAK.join(pages), ((1, title) for title, _ in slides if title))
    return Document(
        media_type=MEDIA_TYPE,
        pages=pages,
        title=title or (headings[0].text if headings else ""),
        headings=headings,
        notes=_notes(pages, hidden),
        author=author,
        created=created,
    )


def _check_slides(data: bytes) -> None:
    """Raises Unread `too_big`: each slide takes a millisecond and half a megabyte to open, whatever is on it."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as package:
            slides = sum(1 for part in package.namelist() if _SLIDE_PART.fullmatch(part))
    except (zipfile.BadZipFile, NotImplementedError, ValueError, OSError) as error:
        raise Unread("damaged") from error
    if slides > MAX_SLIDES:
        raise Unread("too_big", f": it has {slides:,} slides, and {MAX_SLIDES:,} are allowed")


def _slide(slide: Any) -> tuple[str, list[str]]:
    """The slide's title and its blocks of text; the title is the first of them."""
    shapes = list(_shapes(slide.element.cSld.spTree))
    titles = [_flat(shape) for shape in shapes if _placeholder(shape) in _TITLES]
    title = " ".join(filter(None, titles))
    rest = (_block(shape, slide.part) for shape in shapes if _placeholder(shape) not in (*_TITLES, *_FURNITURE))
    return title, [text for text in (title, *rest, _speaker_notes(slide)) if text]


def _shapes(tree: Any) -> Iterator[Any]:
    """Text shapes and frames in the order in which the slide has them; groups and alternatives are looked into."""
    for element in tree.iterchildren(tag=etree.Element):
        if element.tag in (_SHAPE, _FRAME):
            yield element
        elif element.tag != _FALLBACK:
            yield from _shapes(element)


def _placeholder(shape: Any) -> str:
    """What the slide's layout has the shape for: `title`, `body`, `ftr`, …; empty when it stands there by itself."""
    found = next(shape.iter(_PLACEHOLDER), None)
    return "" if found is None else str(found.get("type", "body"))


def _block(shape: Any, part: Any) -> str:
    table = next(shape.iter(_TABLE), None)
    if table is not None:
        return markdown_table([_flat(cell) for cell in row.iterchildren(_CELL)] for row in table.iterchildren(_ROW))
    try:
        return _elsewhere(shape, part) or _lines(shape)
    except BROKEN:
        return LOST  # programs leave charts without figures behind; the rest of the slide is sound


def _elsewhere(shape: Any, part: Any) -> str:
    """What a shape shows that stands in a part of its own: a diagram's text, a chart's figures."""
    for diagram in shape.iter(_DIAGRAM):
        return _lines(parse_xml(part.related_part(diagram.get(f"{_RELATION}dm")).blob))
    for chart in shape.iter(_CHART):
        return _chart(part.related_part(chart.get(f"{_RELATION}id")).chart)
    return ""


def _lines(element: Any) -> str:
    """Its paragraphs, a line each."""
    return "\n".join(text for paragraph in element.iter(_PARAGRAPH) if (text := _words(paragraph).strip()))


def _flat(element: Any) -> str:
    return " ".join(_lines(element).split())


def _words(paragraph: Any) -> str:
    signs = {_BREAK: "\n", _TAB: "\t"}
    return "".join(signs.get(element.tag) or element.text or "" for element in paragraph.iter(_TEXT, _BREAK, _TAB))


def _chart(chart: Any) -> str:
    """The chart's title, and its figures as a table: a row a category, a column a series."""
    title = chart.chart_title.text_frame.text if chart.has_title and chart.chart_title.has_text_frame else ""
    parts = [" ".join(title.split())]
    for plot in chart.plots:
        series = [(one.name, list(one.values)) for one in plot.series]
        rows = [["", *(name for name, _ in series)]]
        for row, category in enumerate(plot.categories):
            rows.append([str(category), *(_figure(values[row : row + 1]) for _, values in series)])
        parts.append(markdown_table(rows))
    return "\n\n".join(filter(None, parts))


def _figure(value: list[float | None]) -> str:
    return "" if not value or value[0] is None else f"{value[0]:.15g}"


def _speaker_notes(slide: Any) -> str:
    if not slide.has_notes_slide:
        return ""
    shapes = [one for one in _shapes(slide.notes_slide.element.cSld.spTree) if _placeholder(one) not in _FURNITURE]
    text = "\n".join(filter(None, map(_lines, shapes)))
    return f"Notes: {text}" if text else ""


def _notes(pages: tuple[str, ...], hidden: list[int]) -> tuple[str, ...]:
    bare = [number for number, page in enumerate(pages, 1) if not page]
    notes = []
    if bare:
        notes.append(f"{named('Slide', bare)} no text (no OCR of pictures).")
    if hidden:
        notes.append(f"{named('Slide', hidden)} been hidden from the audience; what stands there was read.")
    return tuple(notes)
