"""Results as CSV, a report or Parquet: fetched once, looked through for their columns, then written in one go."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Annotated, Any

import typer

from viiwork.cli.rowfile import check_place
from viiwork.cli.screen import clean, say
from viiwork.client import Client
from viiwork.errors import UsageError
from viiwork.jobs import BatchStatus
from viiwork.tabling import parquet, sheet, story
from viiwork.tabling.flat import Columns, columns_of
from viiwork.tabling.formats import Format

FormatFlag = Annotated[str, typer.Option("--format", help=f"One of {', '.join(Format)}. Default: as FILE ends.")]

Schema = Mapping[str, Any] | None
"""By which fields were asked for: its columns are there although no row has them."""


@dataclass(frozen=True, slots=True)
class Written:
    """What came of it."""

    rows: int
    disarmed: int = 0
    """Cells of CSV that began like formulas."""


class Fetched:
    """Rows in an open file, to be gone through as often as is needed. A torn last line is none."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def __iter__(self) -> Iterator[Mapping[str, Any]]:
        self._file.seek(0)
        return (json.loads(line) for line in self._file if line.endswith(b"\n"))


def check_table(path: Path | None, form: Format, *, force: bool) -> None:
    """Raises UsageError for a file that is there already, and for what this computer cannot write."""
    if form is Format.PARQUET:
        parquet.arrow()
        if path is None:
            raise UsageError("--format parquet: is for a file.", hint="Name one with --out FILE.", param="format")
    if path is not None and path.exists() and not path.is_dir() and not force:
        hint = "Name another, or take --force to write it anew."
        raise UsageError(f"{path}: this file exists already.", hint=hint, param="--out")
    if path is not None:
        check_place(path)


def write_results(
    client: Client, status: BatchStatus, path: Path | None, form: Format, *, schema: Schema = None
) -> Written:
    """Write what has ended so far of an analysis to the file, or to standard output."""
    with fetched(client, status, path) as rows:
        return write_table(rows, path, form, heading=story.heading(status), schema=schema)


def write_table(rows: Fetched, path: Path | None, form: Format, *, heading: str, schema: Schema = None) -> Written:
    """Write rows to the file, which is there once it is whole, or to standard output. `heading`: of a report."""
    if path is None:
        return _text(rows, heading, form, sys.stdout, shown=sys.stdout.isatty(), schema=schema)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        written = _file(rows, heading, beside, form, schema)
        beside.replace(path)
    except OSError as error:
        raise UsageError(f"{path}: {(error.strerror or str(error)).lower()}.", param="--out") from error
    finally:
        beside.unlink(missing_ok=True)
    return written


def tell_disarmed(written: Written) -> None:
    """Say which cells are not as they were."""
    if written.disarmed:
        cells = "1 cell begins" if written.disarmed == 1 else f"{written.disarmed} cells begin"
        say(f"{cells} like a formula and got an apostrophe before it: the column `disarmed` names which.")


@contextmanager
def fetched(client: Client, status: BatchStatus, path: Path | None) -> Iterator[Fetched]:
    """The rows so far, beside the file that they go to: another disk may be too small."""
    with tempfile.TemporaryFile(dir=path.parent if path else None) as file:
        for line in client.result_lines(status.id):
            file.write(line + b"\n")
        yield Fetched(file)


def _file(rows: Fetched, heading: str, path: Path, form: Format, schema: Schema) -> Written:
    if form is Format.PARQUET:
        columns = columns_of(rows, schema)
        kinds = parquet.Kinds(columns)
        for row in rows:
            kinds.see(row)
        return Written(parquet.write(path, rows, columns, kinds))
    with path.open("x", encoding="utf-8", newline="") as file:
        return _text(rows, heading, form, file, shown=False, schema=schema)


def _text(rows: Fetched, heading: str, form: Format, file: IO[str], *, shown: bool, schema: Schema) -> Written:
    """`shown`: a person looks at it, and must not have the terminal steered."""

    def put(text: str) -> None:
        file.write(clean(text) if shown else text)

    count = changed = 0
    columns = columns_of(rows, schema) if form is Format.CSV else Columns()
    put(sheet.header(columns) if form is Format.CSV else heading)
    for row in rows:
        put(sheet.row_line(columns, row) if form is Format.CSV else story.section(row))
        count += 1
        changed += sheet.disarmed_cells(columns, row) if form is Format.CSV else 0
    return Written(count, changed)
