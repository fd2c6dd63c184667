"""A file of rows that several analyses add to: taken up at its last whole row, and rid of rows that are made anew."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from viiwork.bigrun.done import Told
from viiwork.bigrun.tally import OwnedRow, rows_in
from viiwork.cli.rowfile import RowFile, take_up
from viiwork.errors import UsageError


@contextmanager
def open_further(path: Path, owners: Collection[str]) -> Iterator[RowFile]:
    """Open `path` for more rows, after those of these analyses. Raises UsageError for a file of anything else."""
    try:
        file = path.open("r+b" if path.exists() else "xb", buffering=0)
    except OSError as error:
        raise UsageError(f"{path}: {(error.strerror or str(error)).lower()}.", param="out") from error
    with file:
        yield RowFile(path, file, *(take_up(file, path, owners) if file.readable() else (0, 0)))


def read_rows(path: Path) -> Iterator[OwnedRow]:
    """The whole rows of a file; none where it is not there. A torn last line is none."""
    if not path.exists():
        return
    with path.open("rb") as file:
        yield from rows_in(line for line in file if line.endswith(b"\n"))


def behind_all(rows: Iterable[OwnedRow]) -> int:
    """Where to go on behind these rows of one analysis; those of an earlier version are counted."""
    after = 0
    for row in rows:
        after = after + 1 if row.position is None else row.position + 1
    return after


def keep_rows(path: Path, keep: Callable[[Told], bool]) -> int:
    """Leave out the rows that `keep` does not want, in one step; answers how many went."""
    if all(keep(row.told) for row in read_rows(path)):
        return 0
    fresh, gone = path.with_name(f".{path.name}.{os.getpid()}"), 0
    try:
        with path.open("rb") as old, fresh.open("wb") as new:
            for line in (line for line in old if line.endswith(b"\n")):
                wanted = keep(OwnedRow.model_validate_json(line).told)
                new.write(line if wanted else b"")
                gone += not wanted
            new.flush()
            os.fsync(new.fileno())
        fresh.replace(path)
    except OSError as error:
        fresh.unlink(missing_ok=True)
        raise UsageError(f"{path}: {(error.strerror or str(error)).lower()}.", param="out") from error
    return gone


def replace_rows(path: Path, analysis: str, lines: Iterable[bytes], *, places: Collection[int] | None) -> None:
    """Put these rows of an analysis where its old ones began, in one step; `places`: only those of these files."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    wanted = (line + b"\n" for line in lines if places is None or _row(line).index in places)
    try:
        with fresh.open("wb") as new:
            for line in _whole_lines(path):
                own = _row(line).analysis == analysis
                new.writelines(wanted if own else (line,))  # at the first of the old ones all new ones come, then none
            new.writelines(wanted)
            new.flush()
            os.fsync(new.fileno())
        fresh.replace(path)
    except OSError as error:
        raise UsageError(f"{path}: {(error.strerror or str(error)).lower()}.", param="out") from error
    finally:
        fresh.unlink(missing_ok=True)


def _row(line: bytes) -> OwnedRow:
    return OwnedRow.model_validate_json(line)


def _whole_lines(path: Path) -> Iterator[bytes]:
    if path.exists():
        with path.open("rb") as file:
            yield from (line for line in file if line.endswith(b"\n"))
