"""What `viiwork analyze --out` names: a file of rows, or a table or report that is made of one beside it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from viiwork.bigrun.record import RunRecord, beside
from viiwork.cli.rowfile import check_new
from viiwork.cli.tablefile import Fetched, Written, check_table, write_table
from viiwork.errors import UsageError
from viiwork.tabling import story
from viiwork.tabling.formats import Format

ENDING = ".rows.jsonl"
BLOCK_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class OutFile:
    """A file by its name, and what it is to be. A table is never continued: it is made anew of all rows."""

    path: Path
    form: Format = Format.JSONL

    @property
    def is_table(self) -> bool:
        """Whether the rows go elsewhere first."""
        return self.form is not Format.JSONL

    @property
    def rows(self) -> Path:
        """Where the rows go as they come."""
        return self.path.with_name(self.path.name + ENDING) if self.is_table else self.path

    def check(self, *, resume: bool) -> None:
        """Raises UsageError for an output that somebody would miss, or that this computer cannot write."""
        if self.is_table:
            if not resume and not self.path.is_dir() and holds_something(self.path):
                hint = "Go on with it by --resume, or name another." if beside(self.path).exists() else "Name another."
                raise UsageError(f"{self.path}: this file exists already.", hint=hint, param="out")
            check_table(self.path, self.form, force=True)
            if self.path.exists() and not self.path.is_file():
                hint = f"For standard output say `--format {self.form}` without --out."
                raise UsageError(f"--out {self.path}: a table needs a file.", hint=hint, param="out")
        if not resume:
            check_new(self.rows)
            self._check_record()

    def check_untouched(self, digest: str) -> None:
        """Raises UsageError for a table in which somebody has worked since it was written with this digest."""
        if self.is_table and holds_something(self.path) and sha256_of(self.path) != digest:
            hint = f"Keep it under another name: --resume writes {self.path} anew, out of {self.rows.name}."
            raise UsageError(f"{self.path}: was changed since VIIWork wrote it.", hint=hint, param="out")

    def write(self, record: RunRecord) -> Written | None:
        """Make the table of the rows that are there; None where the rows are all there is."""
        if not self.is_table or not self.rows.exists():
            return None
        with self.rows.open("rb") as file:
            schema = record.options.json_schema
            return write_table(Fetched(file), self.path, self.form, heading=heading(record), schema=schema)

    def _check_record(self) -> None:
        if beside(self.path).exists():
            hint = "Go on with it by --resume, or name another file."
            raise UsageError(f"{beside(self.path)}: an earlier run is recorded here.", hint=hint, param="out")


def holds_something(path: Path) -> bool:
    """Whether writing the file anew would lose anything."""
    return path.exists() and (not path.is_file() or path.stat().st_size > 0)


def heading(record: RunRecord) -> str:
    """The beginning of a report on a run, which several analyses may have had a part in."""
    tally, ends = record.tally, [part.finished_ms or 0 for part in record.parts]
    finished = not record.unfinished
    facts = [
        ("Task", record.task.value),
        ("Model", record.setup.model),
        ("Submitted", story.day(min((part.created_ms for part in record.parts), default=None))),
        ("Ended", story.day(max(ends, default=None)) if finished else ""),
        ("Documents", f"{tally.documents}: {tally.answered} with an answer"),
        ("Tokens", story.tokens(tally.usage, calls=tally.calls)),
    ]
    return story.beginning(f"Run {record.output}", facts, finished=finished)


def sha256_of(path: Path, *, param: str = "out") -> str:
    """Of a file's content. Raises UsageError naming a file that cannot be read."""
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while block := file.read(BLOCK_BYTES):
                digest.update(block)
    except OSError as error:
        raise UsageError(f"{path}: {(error.strerror or str(error)).lower()}.", param=param) from error
    return digest.hexdigest()
