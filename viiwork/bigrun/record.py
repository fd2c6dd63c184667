"""The record beside an output, `FILE.run.json`: what was asked of which files, who answered, and what that took."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError

from viiwork.bigrun.setup import Setup
from viiwork.errors import UsageError
from viiwork.expense import Cost
from viiwork.jobs import BatchStatus, Counts, Lane, Priority
from viiwork.wire import Wire
from viiwork.work import AnalysisTask, TaskOptions, Usage

ENDING = ".run.json"


class SentFile(Wire):
    """A file that went into an analysis, in the order of sending."""

    name: str
    sha256: str


class Part(Wire):
    """One analysis whose rows are in the output. Times are Unix milliseconds on Redis' clock."""

    id: str
    files: tuple[SentFile, ...]
    sample: int | None = None
    """How many were drawn for it; None where all that were to be done were sent."""
    seed: int | None = None
    created_ms: int = 0
    finished_ms: int | None = None
    """None while it runs, as far as this record knows."""
    state: str = ""
    counts: Counts = Counts()
    calls: int = 0
    usage: Usage | None = None
    """Of all engine calls of it, as the service counts them: those too that came to nothing or were tried again."""
    energy_j: float | None = None
    energy_unknown_jobs: int = 0
    energy_simulated: bool | None = None
    cost: Cost | None = None

    def ended(self, status: BatchStatus) -> Part:
        """The same with what came of it."""
        return self.model_copy(
            update={
                "created_ms": status.created_ms,
                "finished_ms": status.finished_ms,
                "state": status.state.value,
                "counts": status.counts,
                "calls": status.calls,
                "usage": status.usage or (None if status.counts.succeeded else Usage()),
                "energy_j": status.energy_j,
                "energy_unknown_jobs": status.energy_unknown_jobs,
                "energy_simulated": status.energy_simulated,
                "cost": status.cost,
            }
        )


class Engine(Wire):
    """Who answered, as the fleet told when it began."""

    engine: str = ""
    version: str = ""
    notice: str = ""
    """What kind of engine it is, where it is no language model."""
    context_tokens: int = 0
    tokenizer: str = ""
    workers: int = 0
    slots: int = 0
    hosts: int = 0
    cards: dict[str, int] = Field(default_factory=dict)
    """How many of each kind; empty where nobody told the fleet of cards."""


class Tally(Wire):
    """What the output's rows add up to, and what the service counted for their analyses."""

    documents: int = 0
    answered: int = 0
    failures: dict[str, int] = Field(default_factory=dict)
    """By the code of the reason."""
    pages: int = 0
    """Of documents with an answer, as `parts` and `cut` are."""
    parts: int = 0
    cut: int = 0
    """How many of the documents were cut into more than one part."""
    calls: int = 0
    """Of engines, all of them: for documents without an answer and for retried ones too."""
    usage: Usage = Usage()
    """Tokens of all these calls."""
    usage_of_answers: Usage = Usage()
    """Of these, what went into the answers that the rows have."""
    partial: bool = False
    """Some analysis has not told its totals, so that its rows are counted: calls and tokens are at least these."""


class RunRecord(Wire):
    """All of the file."""

    viiwork_run: Literal[1] = 1
    version: str = ""
    """Of the service's VIIWork."""
    output: str
    """The file that this stands beside, by its name: rows, or a table that was made of them."""
    paths: tuple[str, ...]
    """As they were given, from the root on."""
    recursive: bool = True
    task: AnalysisTask
    options: TaskOptions
    lane: Lane = Lane.BATCH
    priority: Priority = Priority.NORMAL
    setup: Setup
    engine: Engine = Engine()
    parts: tuple[Part, ...] = ()
    tally: Tally = Tally()
    table_sha256: str = ""
    """Of the table that was made of the rows, where the output is one: so that nobody's work in it is written over."""
    methods: str = ""
    """A paragraph for a methods section."""

    @property
    def unfinished(self) -> tuple[Part, ...]:
        """Analyses of which this record has not seen the end."""
        return tuple(part for part in self.parts if part.finished_ms is None)

    @property
    def sent(self) -> dict[str, tuple[str, ...]]:
        """Of each analysis the digests of its files."""
        return {part.id: tuple(file.sha256 for file in part.files) for part in self.parts}

    def with_part(self, part: Part) -> RunRecord:
        """The same with this analysis in it, in place of what was known of it."""
        known = {one.id: one for one in self.parts} | {part.id: part}
        return self.model_copy(update={"parts": tuple(known.values())})


def beside(output: Path) -> Path:
    """Where the record of an output is."""
    return output.with_name(output.name + ENDING)


def read_record(path: Path) -> RunRecord:
    """Raises UsageError for a file that is not there, or is no such record."""
    try:
        return RunRecord.model_validate_json(path.read_bytes())
    except OSError as error:
        raise UsageError(f"{path}: {(error.strerror or str(error)).lower()}.", param="from") from error
    except ValidationError as error:
        where = ".".join(map(str, error.errors()[0]["loc"])) or "it"
        raise UsageError(
            f"{path}: is no record of a run ({where}).", hint="Name a FILE.run.json.", param="from"
        ) from error


def write_record(path: Path, record: RunRecord) -> None:
    """Put it in place in one step: whoever reads it finds the old one or the new one. Raises UsageError."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    text = record.model_dump_json(indent=1, exclude_none=True)
    try:
        with fresh.open("w", encoding="utf-8") as file:
            file.write(text + "\n")
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
    except OSError as error:
        fresh.unlink(missing_ok=True)
        raise UsageError(f"{path}: {(error.strerror or str(error)).lower()}.", param="out") from error


def as_json(record: RunRecord) -> dict[str, Any]:
    """As it stands in the file."""
    return record.model_dump(mode="json", exclude_none=True)
