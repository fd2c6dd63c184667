"""Rows of an output that are not as they were: their analysis was tried again since the record saw its end."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from viiwork.bigrun.record import Part, RunRecord, beside, read_record
from viiwork.cli.outfile import OutFile
from viiwork.cli.output import Output
from viiwork.cli.rowkeeping import read_rows, replace_rows
from viiwork.cli.screen import say
from viiwork.cli.watch import follow_or_detach
from viiwork.client import Client
from viiwork.errors import Gone, NotFound, UsageError
from viiwork.jobs import BatchStatus


def own_output(out: OutFile, analysis_id: str) -> Output | None:
    """The run whose output this file is, if this analysis had a part in it."""
    where = beside(out.path)
    if not where.exists():
        return None
    try:
        record = read_record(where)
    except UsageError:  # whatever it is, it is no record of ours
        return None
    return Output(out, record) if record.output == out.path.name and analysis_id in record.sent else None


def renew_retried(output: Output, client: Client, *, begun: Sequence[Part], server: str | None) -> None:
    """Fetch anew what was tried again; what still runs is followed to its end first.

    `begun` are those that the record had not seen the end of before; their rows have been collected by now.
    """
    unseen = {part.id: part for part in begun}
    for part in (unseen.get(one.id, one) for one in output.record.parts):
        status = known_status(client, part)
        if status is None or not stale(output, part, status):
            continue
        say(f"{part.id} was tried again since: fetching its rows anew.")
        if not status.finished:
            status = follow_or_detach(client, part.id, [], server=server, met=True)
        renew(output, client, part, status)


def renewed(output: Output, client: Client) -> RunRecord | None:
    """Rows, table and record of a run as the service has them now; None while any of its analyses still runs."""
    statuses = [(part, known_status(client, part)) for part in output.record.parts]
    if any(status is not None and not status.finished for _, status in statuses):
        return None
    for part, status in statuses:
        if status is not None and stale(output, part, status):
            renew(output, client, part, status)
    return output.close()


def known_status(client: Client, part: Part) -> BatchStatus | None:
    """How an analysis stands now; None where the service does not know it any more."""
    try:
        return client.analysis_status(part.id)
    except (NotFound, Gone):
        return None


def stale(output: Output, part: Part, status: BatchStatus) -> bool:
    """Whether the record saw another end than the last one, or none: then the file may lack rows, or have one twice."""
    if part.finished_ms is not None:
        return status.finished_ms != part.finished_ms
    return sum(row.analysis == part.id for row in read_rows(output.file.rows)) != status.counts.settled


def renew(output: Output, client: Client, part: Part, status: BatchStatus) -> None:
    """Put the rows that the service has now in the place of those in the file.

    Of an analysis whose end was seen a row that is not in the file is done again in a later one: it stays out.
    """
    places = places_in(output.file.rows, part.id) if part.finished_ms is not None else None
    replace_rows(output.file.rows, part.id, client.result_lines(part.id), places=places)
    output.note(part.ended(status))


def places_in(rows: Path, analysis_id: str) -> set[int]:
    """Of the files of an analysis those that have a row there."""
    return {row.index for row in read_rows(rows) if row.analysis == analysis_id}
