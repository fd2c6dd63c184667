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
from typing import IO, Any

from viiwork.cli.screen import clean
from viiwork.client import Client
from viiwork.errors import UsageError
from viiwork.jobs import BatchStatus
from viiwork.tabling import parquet, sheet, story
from viiwork.tabling.flat import Columns, columns_of
from viiwork.tabling.formats import Format


@dataclass(frozen=True, slots=True)
class Written:
    """What came of it."""

    rows: int
    disarmed: int = 0
    """Cells of CSV that began like formulas."""


class Fetched:
    """The rows of an analysis in a file without a name, to be gone through as often as is needed."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def __iter__(self) -> Iterator[Mapping[str, Any]]:
        self._file.seek(0)
        return map(json.loads, self._file)


def check_table(path: Path | None, form: Format, *, force: bool) -> None:
    """Raises UsageError for a file that is there already, and for what this computer cannot write."""
    if form is Format.PARQUET:
        parquet.arrow()
        if path is None:
            raise UsageError("--format parquet: is for a file.", hint="Name one with --out FILE.", param="format")
    if path is not None and path.exists() and not force:
        hint = "Name another, or take --force to write it anew."
        raise UsageError(f"{path}: this file exists already.", hint=hint, param="--out")
    if path is not None and not path.parent.is_dir():
        raise UsageError(f"{path}: its directory does not exist.", param="--out")


def write_table(client: Client, status: BatchStatus, path: Path | None, form: Format) -> Written:
    """Write what has ended so far to the file, or to standard output. The file is there once it is whole."""
    with fetched(client, status, path) as rows:
        if path is None:
            return _text(rows, status, form, sys.stdout, shown=sys.stdout.isatty())
        beside = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            written = _file(rows, status, beside, form)
            beside.replace(path)
        except OSError as error:
            raise UsageError(f"{path}: {(error.strerror or str(error)).lower()}.", param="--out") from error
        finally:
            beside.unlink(missing_ok=True)
        return written


@contextmanager
def fetched(client: Client, status: BatchStatus, path: Path | None) -> Iterator[Fetched]:
    """The rows so far, beside the file that they go to: another disk may be too small."""
    with tempfile.TemporaryFile(dir=path.parent if path else None) as file:
        for line in client.result_lines(status.id):
            file.write(line + b"\n")
        yield Fetched(file)


def _file(rows: Fetched, status: BatchStatus, path: Path, form: Format) -> Written:
    if form is Format.PARQUET:
        columns = columns_of(rows)
        kinds = parquet.Kinds(columns)
        for row in rows:
            kinds.see(row)
        return Written(parquet.write(path, rows, columns, kinds))
    with path.open("x", encoding="utf-8", newline="") as file:
        return _text(rows, status, form, file, shown=False)


def _text(rows: Fetched, status: BatchStatus, form: Format, file: IO[str], *, shown: bool) -> Written:
    """`shown`: a person looks at it, and must not have the terminal steered."""

    def put(text: str) -> None:
        file.write(clean(text) if shown else text)

    count = changed = 0
    columns = columns_of(rows) if form is Format.CSV else Columns()
    put(sheet.header(columns) if form is Format.CSV else story.heading(status))
    for row in rows:
        put(sheet.row_line(columns, row) if form is Format.CSV else story.section(row))
        count += 1
        changed += sheet.disarmed_cells(columns, row) if form is Format.CSV else 0
    return Written(count, changed)
