"""Workbooks (xlsx): a page a sheet, its blocks of cells as tables; values as people write them, formulas by result."""

from __future__ import annotations

import datetime as dt
import io
import re
import warnings
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import openpyxl
from openpyxl.utils import get_column_letter
from openpyxl.utils.exceptions import InvalidFileException

from viiwork.documents.document import PAGE_BREAK, Document, find_headings, tidy, title_of
from viiwork.documents.limits import MIB, Limits
from viiwork.documents.origin import author_of, day_of
from viiwork.documents.outcomes import Unread
from viiwork.documents.package import DAMAGE, check_package
from viiwork.documents.tables import markdown_table

MEDIA_TYPE = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
MAX_ROWS = 1_048_576
"""Of a sheet; Excel's own limit. Files may claim any number."""
MAX_PLACES = 2_000_000
"""Of cells in all sheets, the empty ones before a filled one included: 10 s of CPU."""
MAX_GAPS = 4
"""Times as many places as cells make a block a table; with more, each cell is told with its address."""
FEW_PLACES = 2_000
MAX_SEARCHED_BYTES = 64 * MIB
"""Of a sheet that is searched for formulas without a result: it is unpacked whole for that."""
BROKEN = (InvalidFileException, *DAMAGE)

# A formula, and right after it the end of its cell: no program has stored what it comes to.
# Nothing in it is tried twice: a sheet may hold megabytes of blanks, or of the beginnings of formulas in a comment.
_UNCOUNTED = re.compile(rb"(?:</f>|<f\b[^<>]*+(?<=/)>)\s*+(?:<v\s*+/>|<v>\s*+</v>)?+\s*+</c>")

Cells = list[tuple[int, str]]
"""The filled cells of a row: column (from 1) and text."""


@dataclass(slots=True)
class Budget:
    """What may still be read of a workbook."""

    characters: int
    places: int
    cut: list[str] = field(default_factory=list)
    """Sheets that were not read to their end."""

    def pay(self, cells: Cells) -> None:
        """Raises Unread `too_big`: one long text may stand in a million cells, and is in the file once."""
        self.characters -= sum(len(text) for _, text in cells)
        if self.characters < 0:
            raise Unread("too_big", ": its cells hold more text than is allowed")


def read_xlsx(data: bytes, limits: Limits) -> Document:
    """One page a sheet, which starts with the sheet's name; that of a sheet without cells is empty."""
    check_package(data, limits)
    budget = Budget(characters=limits.output_bytes, places=MAX_PLACES)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of styles and extensions that do not matter to the text
            book = openpyxl.load_workbook(io.BytesIO(data), read_only=True, data_only=True, keep_links=False)
        sheets = [(title_of(sheet.title), sheet.sheet_state, _sheet(sheet, budget)) for sheet in book.worksheets]
        told = book.properties
        uncounted = _uncounted(data)
    except BROKEN as error:
        raise Unread("damaged") from error
    pages = tuple(tidy(f"{name}\n\n{text}") if text else "" for name, _, text in sheets)
    return Document(
        media_type=MEDIA_TYPE,
        pages=pages,
        title=title_of(told.title or ""),
        author=author_of(told.creator or ""),
        created=day_of(told.created),
        headings=find_headings(PAGE_BREAK.join(pages), ((1, name) for name, _, text in sheets if text)),
        notes=_notes([name for name, state, text in sheets if text and state != "visible"], budget.cut, uncounted),
    )


def _sheet(sheet: Any, budget: Budget) -> str:
    """Its blocks: tables that empty rows part."""
    return "\n\n".join(filter(None, map(_block, _blocks(_rows(sheet, budget)))))


def _rows(sheet: Any, budget: Budget) -> Iterator[tuple[int, Cells]]:
    """The number and the filled cells of each row that has any, for as long as the budget lasts."""
    sheet.reset_dimensions()  # what the file claims there may be a million times what it has
    for number, row in enumerate(sheet.iter_rows(max_row=MAX_ROWS), 1):
        budget.places -= len(row)
        if budget.places < 0:
            budget.cut.append(f"after row {number - 1:,} of “{title_of(sheet.title)}”")
            return
        cells = [(cell.column, text) for cell in row if cell.value is not None and (text := _told(cell))]
        budget.pay(cells)
        if cells:
            yield number, cells


def _blocks(rows: Iterator[tuple[int, Cells]]) -> Iterator[list[tuple[int, Cells]]]:
    block: list[tuple[int, Cells]] = []
    for number, cells in rows:
        if block and number > block[-1][0] + 1:
            yield block
            block = []
        block.append((number, cells))
    if block:
        yield block


def _block(block: Sequence[tuple[int, Cells]]) -> str:
    columns = sorted({column for _, cells in block for column, _ in cells})
    filled = sum(len(cells) for _, cells in block)
    if len(block) * len(columns) > max(FEW_PLACES, MAX_GAPS * filled):
        return "\n".join("; ".join(f"{get_column_letter(c)}{row}: {text}" for c, text in cells) for row, cells in block)
    rows = (dict(cells) for _, cells in block)
    return markdown_table([row.get(column, "") for column in columns] for row in rows)


def _told(cell: Any) -> str:
    """The value as a person would write it down; dates as ISO 8601 has them."""
    value = cell.value
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, int | float) and "%" in (cell.number_format or ""):
        return f"{value * 100:.15g}%"
    if isinstance(value, float):
        return f"{value:.15g}"  # as many digits as a spreadsheet has
    if isinstance(value, dt.datetime):
        return value.date().isoformat() if value.time() == dt.time() else value.isoformat(" ", "seconds")
    return value.isoformat() if isinstance(value, dt.date | dt.time) else str(value).strip()


def _uncounted(data: bytes) -> int:
    """How many formulas have no stored result, as programs leave them that do not calculate."""
    with zipfile.ZipFile(io.BytesIO(data)) as package:
        parts = [name for name in package.namelist() if name.startswith("xl/worksheets/") and name.endswith(".xml")]
        told = [name for name in parts if package.getinfo(name).file_size <= MAX_SEARCHED_BYTES]
        return sum(len(_UNCOUNTED.findall(package.read(name))) for name in told)


def _notes(hidden: Sequence[str], cut: Sequence[str], uncounted: int) -> tuple[str, ...]:
    notes = []
    if cut:
        notes.append(f"The workbook is too long to be read whole; left out is all {cut[0]}.")
    if uncounted:
        which = "One formula has" if uncounted == 1 else f"{uncounted:,} formulas have"
        notes.append(f"{which} no stored result: open it in a spreadsheet program and save it again.")
    if hidden:
        shown = ", ".join(f"“{name}”" for name in hidden[:10]) + (", …" if len(hidden) > 10 else "")
        notes.append(f"Hidden sheets were read too: {shown}.")
    return tuple(notes)
