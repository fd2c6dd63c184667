"""Rows as CSV that a spreadsheet may open: nothing in it is a formula. Pure."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Mapping
from typing import Any

from viiwork.tabling.flat import Cell, Columns

MARK = "\ufeff"
"""At the beginning of a file, so that spreadsheets take it for the UTF-8 that it is."""
DISARMED = "disarmed"
"""The last column: which cells of the row got an apostrophe before them."""
FORMULA = re.compile(r"\s*[=+\-@]|[\t\r]")
"""How a cell begins that spreadsheets take for a formula (OWASP's list), also behind blanks."""
NUMBER = re.compile(r"[+-]?\d+(?:[.,]\d+)*(?:[eE][+-]?\d+)?%?\Z")
UNWRITABLE = dict.fromkeys(code for code in range(32) if code not in (9, 10, 13))


def header(columns: Columns) -> str:
    """The first line."""
    return MARK + line([*(disarm(name) for name in columns.names), DISARMED])


def row_line(columns: Columns, row: Mapping[str, Any]) -> str:
    """A row's line, with the names of the cells that were disarmed in the last one."""
    cells = columns.cells(row)
    return line([*map(disarm, cells), disarm(";".join(_armed(columns, cells)))])


def disarmed_cells(columns: Columns, row: Mapping[str, Any]) -> int:
    """How many cells of a row began like formulas."""
    return len(_armed(columns, columns.cells(row)))


def disarm(cell: Cell) -> Cell:
    """The cell, with an apostrophe before what a spreadsheet would reckon."""
    if not isinstance(cell, str):
        return cell
    return f"'{cell.translate(UNWRITABLE)}" if is_formula(cell) else cell.translate(UNWRITABLE)


def is_formula(cell: Cell) -> bool:
    """Whether a spreadsheet might take it for one: `=1+1`, `@SUM(…)`, `-cmd`; a number such as `-5.20` is none."""
    if not isinstance(cell, str):
        return False
    text = cell.translate(UNWRITABLE)
    return bool(FORMULA.match(text)) and not NUMBER.match(text)


def line(cells: Iterable[Cell]) -> str:
    """One line as RFC 4180 has it."""
    written = io.StringIO()
    csv.writer(written).writerow([str(cell).lower() if isinstance(cell, bool) else cell for cell in cells])
    return written.getvalue()


def _armed(columns: Columns, cells: Iterable[Cell]) -> list[str]:
    return [name for name, cell in zip(columns.names, cells, strict=True) if is_formula(cell)]
