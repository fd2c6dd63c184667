"""`viiwork analyze --out`: a file of rows with its record beside it, begun, taken up again, and brought to its end."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from viiwork.bigrun.done import answered, digest_of, pending
from viiwork.bigrun.methods import methods
from viiwork.bigrun.record import Engine, Part, RunRecord, SentFile, beside, read_record, write_record
from viiwork.bigrun.setup import Setup, changed, setup_of
from viiwork.bigrun.tally import tally
from viiwork.cli.order import Order
from viiwork.cli.rowkeeping import keep_rows, open_further, read_rows
from viiwork.cli.screen import say
from viiwork.cli.watch import Sink, follow_or_detach
from viiwork.client import Client
from viiwork.documents.versions import making
from viiwork.errors import Gone, NotFound, UsageError
from viiwork.jobs import BatchStatus
from viiwork.multipart import FileDocument
from viiwork.roster import FleetStatus, WorkerCard

BLOCK_BYTES = 1024 * 1024
LOST = "lost"
"""The state of an analysis that the service does not know any more."""


@dataclass(frozen=True, slots=True)
class Hashed:
    """A file, and the digest of its content."""

    file: FileDocument
    sha256: str

    @property
    def sent(self) -> SentFile:
        """As a record has it."""
        return SentFile(name=self.file.shown_name, sha256=self.sha256)


def hashed(files: Sequence[FileDocument]) -> list[Hashed]:
    """Each with its digest. Raises UsageError naming a file that cannot be read."""
    return [Hashed(file, sha256_of(file.path)) for file in files]


def sha256_of(path: Path) -> str:
    """Of a file's content."""
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while block := file.read(BLOCK_BYTES):
                digest.update(block)
    except OSError as error:
        raise UsageError(f"{path}: {(error.strerror or str(error)).lower()}.", param="PATH") from error
    return digest.hexdigest()


class Output:
    """The rows and the record of one run, which may take several analyses."""

    def __init__(self, path: Path, record: RunRecord) -> None:
        self.path, self.record = path, record

    def begin(self, status: BatchStatus, files: Sequence[Hashed], *, sample: int | None, seed: int | None) -> None:
        """Note an analysis as soon as it has an id: whatever dies from now on, its rows are found again."""
        part = Part(id=status.id, files=tuple(one.sent for one in files), sample=sample, seed=seed)
        self._write(self.record.with_part(part.model_copy(update={"created_ms": status.created_ms})))

    def follow(self, client: Client, analysis_id: str, sinks: Sequence[Sink], *, server: str | None) -> BatchStatus:
        """Add the rows of an analysis that the file does not have, up to its end."""
        had = sum(row.analysis == analysis_id for row in read_rows(self.path))
        with open_further(self.path, [part.id for part in self.record.parts]) as rows:
            status = follow_or_detach(client, analysis_id, [*sinks, rows.add], server=server, met=True, had=had)
        (part,) = (one for one in self.record.parts if one.id == analysis_id)
        self._write(self.record.with_part(part.ended(status)))
        return status

    def collect(self, client: Client, *, server: str | None) -> None:
        """Bring what was begun earlier and not seen to its end to it."""
        for part in self.record.unfinished:
            say(f"{part.id} was begun earlier: fetching what it has, and waiting for the rest.")
            try:
                self.follow(client, part.id, [], server=server)
            except (NotFound, Gone):
                say(f"{part.id} is gone: what it had not told is done again.")
                lost = part.model_copy(update={"state": LOST, "finished_ms": part.created_ms})
                self._write(self.record.with_part(lost))

    def left(self, files: Sequence[Hashed]) -> list[Hashed]:
        """Those that have no answer yet."""
        done = answered((row.told for row in read_rows(self.path)), self.record.sent)
        return [files[place] for place in pending([one.sha256 for one in files], done)]

    def forget(self, files: Sequence[Hashed]) -> None:
        """Leave out the rows without an answer of files that are done again."""
        again, sent = {one.sha256 for one in files}, self.record.sent
        failed = {
            (row.analysis, row.index)
            for row in read_rows(self.path)
            if not row.told.answered and digest_of(row.told, sent) in again
        }
        keep_rows(self.path, lambda row: (row.analysis, row.index) not in failed)

    def close(self) -> RunRecord:
        """Count what is there, and write the paragraph for a methods section."""
        record = self.record.model_copy(update={"tally": tally(read_rows(self.path))})
        self._write(record.model_copy(update={"methods": methods(record)}))
        return self.record

    def _write(self, record: RunRecord) -> None:
        self.record = record
        write_record(beside(self.path), record)


def new_output(
    out: Path, fleet: FleetStatus, order: Order, model: str, *, paths: Sequence[str], recursive: bool
) -> Output:
    """The output of a run that begins, or of one that is taken up again if it is there. Nothing is written yet."""
    made = fleet.making or making()
    record = RunRecord(
        version=made.version,
        output=out.name,
        paths=tuple(str(Path(path).absolute()) for path in paths),
        recursive=recursive,
        task=order.task,
        options=order.options,
        lane=order.lane,
        priority=order.priority,
        setup=setup_now(fleet, order, model),
        engine=engine_of(fleet, model),
    )
    return Output(out, record)


def taken_up(fresh: Output) -> Output:
    """The run that the record beside the output is of, or this one where there is none yet.

    Raises UsageError where anything that its answers depend on is another now, naming it.
    """
    where = beside(fresh.path)
    if not where.exists():
        if fresh.path.exists() and fresh.path.stat().st_size:
            message = f"--resume: {where} is not there, so nobody knows what the rows of {fresh.path} depend on."
            raise UsageError(message, hint="Name another --out.", param="resume")
        return fresh
    before = read_record(where)
    if differences := changed(before.setup, fresh.record.setup):
        message = f"--resume: other than in {fresh.path} are now {'; '.join(differences)}."
        hint = "Its rows would not fit with new ones: name another --out, or make it as it was."
        raise UsageError(message, hint=hint, param="resume")
    return Output(fresh.path, fresh.record.model_copy(update={"parts": before.parts}))


def setup_now(fleet: FleetStatus, order: Order, model: str) -> Setup:
    """What answers depend on, as this fleet tells it."""
    made, card = fleet.making or making(), card_of(fleet, model)
    words = made.words.get(order.task.value, "")
    return setup_of(order.task, order.options, card, words=words, reader=made.reader, chunker=made.chunker)


def card_of(fleet: FleetStatus, model: str) -> WorkerCard:
    """Of the workers of a model the one that documents are cut for: with the shortest context."""
    cards = [worker.card for worker in fleet.workers if worker.card.model == model]
    return min(cards, key=lambda card: (not card.context_tokens, card.context_tokens))


def engine_of(fleet: FleetStatus, model: str) -> Engine:
    """Who serves a model now."""
    workers = [worker.card for worker in fleet.workers if worker.card.model == model]
    card = card_of(fleet, model)
    return Engine(
        engine=" and ".join(sorted({one.engine for one in workers})),
        notice=card.notice,
        context_tokens=card.context_tokens,
        tokenizer=card.tokenizer,
        workers=len(workers),
        slots=sum(one.slots for one in workers),
        hosts=len({one.host for one in workers}),
        cards=dict(Counter(each.name for one in workers for each in one.cards)),
    )
