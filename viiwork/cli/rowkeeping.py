"""A file of rows that several analyses add to: taken up at its last whole row, and rid of rows that are made anew."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator
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
        yield RowFile(path, file, take_up(file, path, owners) if file.readable() else 0)


def read_rows(path: Path) -> Iterator[OwnedRow]:
    """The whole rows of a file; none where it is not there. A torn last line is none."""
    if not path.exists():
        return
    with path.open("rb") as file:
        yield from rows_in(line for line in file if line.endswith(b"\n"))


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
