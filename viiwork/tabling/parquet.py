"""Rows as a Parquet file, for those who have pyarrow (`pip install 'viiwork[parquet]'`)."""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from viiwork.errors import UsageError
from viiwork.tabling.flat import Cell, Columns

ROWS_A_GROUP = 1000


class Kinds:
    """What each column holds, put down while one looks through the rows: whole numbers, others, yes and no, or text."""

    def __init__(self, columns: Columns) -> None:
        self._columns = columns
        self._kinds: dict[str, type] = {}

    def see(self, row: Mapping[str, Any]) -> None:
        """Take one row's cells in."""
        for name, cell in zip(self._columns.names, self._columns.cells(row), strict=True):
            if cell is not None:
                self._kinds[name] = wider(self._kinds.get(name), kind_of(cell))

    def __getitem__(self, name: str) -> type:
        return self._kinds.get(name, str)


def kind_of(cell: Cell) -> type:
    """`bool`, `int`, `float` or `str`; a whole number that no 64 bits hold is text."""
    if isinstance(cell, int) and not isinstance(cell, bool) and not -(2**63) <= cell < 2**63:
        return str
    return type(cell)


def wider(known: type | None, met: type) -> type:
    """What holds both."""
    if known in (None, met):
        return met
    return float if {known, met} == {int, float} else str


def as_kind(cell: Cell, kind: type) -> Cell:
    """The cell as its column has it."""
    if cell is None or type(cell) is kind:
        return cell
    return float(cell) if kind is float else str(cell)


def arrow() -> ModuleType:
    """pyarrow with its `parquet`. Raises UsageError where it is not installed."""
    try:
        importlib.import_module("pyarrow.parquet")
        return importlib.import_module("pyarrow")
    except ImportError as error:
        hint = "Install it with `pip install 'viiwork[parquet]'`, or write CSV."
        raise UsageError("--format parquet: pyarrow is not installed.", hint=hint, param="format") from error


def write(path: Path, rows: Iterable[Mapping[str, Any]], columns: Columns, kinds: Kinds) -> int:
    """Write the file; answers the number of rows. Raises UsageError without pyarrow."""
    pa = arrow()
    types = {str: pa.string(), int: pa.int64(), float: pa.float64(), bool: pa.bool_()}
    schema = pa.schema([(name, types[kinds[name]]) for name in columns.names])
    written = 0
    with pa.parquet.ParquetWriter(path, schema, compression="zstd") as file:
        for group in groups(rows, ROWS_A_GROUP):
            cells = list(zip(*(columns.cells(row) for row in group), strict=True))
            arrays = [
                pa.array([as_kind(cell, kinds[name]) for cell in column], types[kinds[name]])
                for name, column in zip(columns.names, cells, strict=True)
            ]
            file.write_table(pa.Table.from_arrays(arrays, schema=schema))
            written += len(group)
    return written


def groups(rows: Iterable[Mapping[str, Any]], most: int) -> Iterable[Sequence[Mapping[str, Any]]]:
    """So many rows at a time."""
    group: list[Mapping[str, Any]] = []
    for row in rows:
        group.append(row)
        if len(group) == most:
            yield group
            group = []
    if group:
        yield group
