"""`viiwork analyze --out`: rows, or a table of them, with the record beside it, begun, taken up, brought to an end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from viiwork.bigrun.done import answered, pending, surpassed
from viiwork.bigrun.methods import methods
from viiwork.bigrun.record import Engine, Part, RunRecord, SentFile, beside, read_record, write_record
from viiwork.bigrun.setup import Setup, changed, setup_of
from viiwork.bigrun.tally import tally
from viiwork.cli.order import Order
from viiwork.cli.outfile import OutFile, holds_something, sha256_of
from viiwork.cli.rowkeeping import behind_all, keep_rows, open_further, read_rows
from viiwork.cli.screen import say
from viiwork.cli.tablefile import tell_disarmed
from viiwork.cli.watch import Sink, follow_or_detach
from viiwork.client import Client
from viiwork.documents.versions import making
from viiwork.errors import Gone, NotFound, UsageError
from viiwork.jobs import BatchStatus
from viiwork.multipart import FileDocument
from viiwork.roster import FleetStatus, WorkerCard

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
    return [Hashed(file, sha256_of(file.path, param="PATH")) for file in files]


class Output:
    """The rows and the record of one run, which may take several analyses, and the table where one is wanted."""

    def __init__(self, file: OutFile, record: RunRecord) -> None:
        self.file, self.record = file, record

    def begin(self, status: BatchStatus, files: Sequence[Hashed], *, sample: int | None, seed: int | None) -> None:
        """Note an analysis as soon as it has an id: whatever dies from now on, its rows are found again."""
        part = Part(id=status.id, files=tuple(one.sent for one in files), sample=sample, seed=seed)
        self._write(self.record.with_part(part.model_copy(update={"created_ms": status.created_ms})))

    def follow(self, client: Client, analysis_id: str, sinks: Sequence[Sink], *, server: str | None) -> BatchStatus:
        """Add the rows of an analysis that the file does not have, up to its end."""
        after = behind_all(row for row in read_rows(self.file.rows) if row.analysis == analysis_id)
        try:
            with open_further(self.file.rows, [part.id for part in self.record.parts]) as rows:
                status = follow_or_detach(client, analysis_id, [*sinks, rows.add], server=server, met=True, after=after)
        except BaseException:  # whoever leaves has what came until then, in the form that was asked for
            self.leave_out()
            self._write(self._tabled(self._counted()))
            raise
        (part,) = (one for one in self.record.parts if one.id == analysis_id)
        self._write(self.record.with_part(part.ended(status)))
        self.leave_out()
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
        self.leave_out()  # also what a command left that was killed in the middle

    def note(self, part: Part) -> None:
        """Write down what is known of an analysis now."""
        self._write(self.record.with_part(part))

    def wrote(self, path: Path) -> None:
        """Note that the table was written by VIIWork, out of other rows than those beside it."""
        self._write(self.record.model_copy(update={"table_sha256": sha256_of(path)}))

    def left(self, files: Sequence[Hashed]) -> list[Hashed]:
        """Those that have no answer yet."""
        done = answered((row.told for row in read_rows(self.file.rows)), self.record.sent)
        return [files[place] for place in pending([one.sha256 for one in files], done)]

    def leave_out(self) -> None:
        """Leave out rows that later ones do for; of files that came to fewer answers again, the later ones."""
        parts, told = self.record.parts, (row.told for row in read_rows(self.file.rows))
        running = {part.id for part in self.record.unfinished}
        gone = surpassed(
            told, self.record.sent, running=running, cut_off={one.id for one in parts if one.state == LOST}
        )
        if gone:
            keep_rows(self.file.rows, lambda row: row.place not in gone)

    def close(self) -> RunRecord:
        """Count what is there, make the table, and write the paragraph for a methods section."""
        record = self._tabled(self._counted(), tell=True)
        self._write(record.model_copy(update={"methods": methods(record)}))
        return self.record

    def _counted(self) -> RunRecord:
        return self.record.model_copy(update={"tally": tally(read_rows(self.file.rows), self.record.parts)})

    def _tabled(self, record: RunRecord, *, tell: bool = False) -> RunRecord:
        written = self.file.write(record)
        if written is None:
            return record
        if tell:
            tell_disarmed(written)
        return record.model_copy(update={"table_sha256": sha256_of(self.file.path)})

    def _write(self, record: RunRecord) -> None:
        self.record = record
        write_record(beside(self.file.path), record)


def new_output(
    out: OutFile, fleet: FleetStatus, order: Order, model: str, *, paths: Sequence[str], recursive: bool
) -> Output:
    """The output of a run that begins, or of one that is taken up again if it is there. Nothing is written yet."""
    made = fleet.making or making()
    record = RunRecord(
        version=made.version,
        output=out.path.name,
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
    path = fresh.file.path
    where = beside(path)
    if not where.exists():
        if holds_something(path) or holds_something(fresh.file.rows):
            message = f"--resume: {where} is not there, so nobody knows what the rows of {path} depend on."
            raise UsageError(message, hint="Name another --out.", param="resume")
        return fresh
    before = read_record(where)
    if differences := changed(before.setup, fresh.record.setup):
        message = f"--resume: other than in {path} are now {'; '.join(differences)}."
        hint = "Its rows would not fit with new ones: name another --out, or make it as it was."
        raise UsageError(message, hint=hint, param="resume")
    fresh.file.check_untouched(before.table_sha256)
    kept = {"parts": before.parts, "table_sha256": before.table_sha256}
    return Output(fresh.file, fresh.record.model_copy(update=kept))


def setup_now(fleet: FleetStatus, order: Order, model: str) -> Setup:
    """What answers depend on, as this fleet tells it."""
    made, card = fleet.making or making(), card_of(fleet, model)
    words = made.words.get(order.task.value, "")
    return setup_of(order.task, order.options, card, words=words, reader=made.reader, chunker=made.chunker)


def card_of(fleet: FleetStatus, model: str) -> WorkerCard:
    """Of the workers of a model the one that documents are cut for: the shortest context; and all weights."""
    cards = [worker.card for worker in fleet.workers if worker.card.model == model]
    narrowest = min(cards, key=lambda card: (not card.context_tokens, card.context_tokens))
    told = {"revision": _all(one.revision for one in cards), "quantization": _all(one.quantization for one in cards)}
    return narrowest.model_copy(update=told)


def _all(said: Iterable[str]) -> str:
    """Whatever is said, once each: in the middle of an exchange workers of a model differ."""
    return " and ".join(sorted(set(filter(None, said))))


def engine_of(fleet: FleetStatus, model: str) -> Engine:
    """Who serves a model now."""
    workers = [worker.card for worker in fleet.workers if worker.card.model == model]
    card = card_of(fleet, model)
    return Engine(
        engine=" and ".join(sorted({one.engine for one in workers})),
        version=_all(one.engine_version for one in workers),
        notice=card.notice,
        context_tokens=card.context_tokens,
        tokenizer=card.tokenizer,
        workers=len(workers),
        slots=sum(one.slots for one in workers),
        hosts=len({one.host for one in workers}),
        cards=dict(Counter(each.name for one in workers for each in one.cards)),
    )
