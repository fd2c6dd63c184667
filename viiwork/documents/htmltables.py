"""The tables of a web page that hold data, as Markdown; those that only lay out the page stay as they are."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from selectolax.lexbor import LexborHTMLParser, LexborNode

from viiwork.documents.tables import markdown_table

MAX_CELL_CHARACTERS = 500
"""With more in one cell a table is a page's layout."""
MAX_ROWS = 100_000
MAX_SPAN = 64
LAYOUT = "table, h1, h2, h3, h4, h5, h6, ul, ol, pre, form, blockquote"
MIN_LINES = 2


def write_tables(tree: LexborHTMLParser) -> None:
    """Put each data table's Markdown in its place."""
    for table in tree.css("table"):
        if _has_layout(table):
            continue
        rows = _rows(table)
        if _is_data(rows):
            captions = (" ".join(caption.text(separator=" ").split()) for caption in table.css("caption"))
            told = tree.create_node("pre")
            told.insert_child("\n\n".join([*filter(None, captions), markdown_table(rows)]))
            table.replace_with(told)


def _has_layout(table: LexborNode) -> bool:
    """Asked first: in tables inside tables only the innermost are looked at more closely."""
    blocks = any(node.mem_id != table.mem_id for node in islice(table.css(LAYOUT), 2))
    return blocks or table.attributes.get("role") == "presentation"


def _is_data(rows: list[list[str]]) -> bool:
    if len(rows) < MIN_LINES or max(map(len, rows)) < MIN_LINES:
        return False
    return all(len(text) <= MAX_CELL_CHARACTERS for row in rows for text in row)


def _rows(table: LexborNode) -> list[list[str]]:
    """The texts of its cells; one that spans rows is told in each, one that spans columns is followed by empty ones."""
    rows: list[list[str]] = []
    below: dict[int, tuple[int, str]] = {}
    for row in islice(table.css("tr"), MAX_ROWS):
        cells: list[str] = []
        for cell in _cells(row):
            _fill(cells, below)
            text, wide, deep = (
                " ".join(cell.text(separator=" ").split()),
                _span(cell, "colspan"),
                _span(cell, "rowspan"),
            )
            if deep > 1:
                below[len(cells)] = (deep - 1, text)
            cells += [text, *[""] * (wide - 1)]
        _fill(cells, below)
        rows.append(cells)
    return rows


def _fill(cells: list[str], below: dict[int, tuple[int, str]]) -> None:
    """Put in what cells of rows above reach down to the next columns."""
    while len(cells) in below:
        left, text = below.pop(len(cells))
        if left > 1:
            below[len(cells)] = (left - 1, text)
        cells.append(text)


def _cells(row: LexborNode) -> Iterator[LexborNode]:
    return (node for node in row.iter() if node.tag in ("td", "th"))


def _span(cell: LexborNode, name: str) -> int:
    told = cell.attributes.get(name) or ""
    return max(1, min(int(told), MAX_SPAN)) if told.isdecimal() and len(told) < 9 else 1
