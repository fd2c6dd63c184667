"""`viiwork results`: the answers so far."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from viiwork.bigrun.record import RunRecord, beside
from viiwork.cli.facts import documents
from viiwork.cli.options import AsJson, Server, connect, server_flag
from viiwork.cli.outfile import OutFile
from viiwork.cli.renewal import own_output, renewed
from viiwork.cli.report import Report
from viiwork.cli.rowfile import open_rows
from viiwork.cli.screen import print_json, say
from viiwork.cli.tablefile import FormatFlag, Written, check_table, tell_disarmed, write_results
from viiwork.cli.watch import raw_printer, row_reader
from viiwork.client import Client
from viiwork.jobs import BatchStatus
from viiwork.tabling.formats import Format, format_of


def results(
    analysis_id: Annotated[str, typer.Argument(metavar="ID", help="The analysis, `an_…`.")],
    out_file: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            metavar="FILE",
            help="Write rows to FILE: .csv, .md, .parquet, or .jsonl, of which a half-written file is continued.",
        ),
    ] = None,
    *,
    form: FormatFlag = "",
    force: Annotated[bool, typer.Option("--force", help="Write a table or report anew that is there.")] = False,
    server: Server = None,
    as_json: AsJson = False,
) -> None:
    """Show or save the answers that an analysis has so far.

    Exit code: 0, or 1 when the analysis has ended and some documents have no answer.
    """
    chosen = format_of(form, out_file)
    if chosen is not Format.JSONL:
        check_table(out_file, chosen, force=force)
    with connect(server) as client:
        status = client.analysis_status(analysis_id)
        run = own_output(OutFile(out_file, chosen), analysis_id) if out_file is not None else None
        record = renewed(run, client) if run is not None else None
        if record is not None and out_file is not None:
            tell_run(out_file, record, status, as_json=as_json)
        elif chosen is not Format.JSONL:
            tell(out_file, write_results(client, status, out_file, chosen), status, as_json=as_json)
            if run is not None and out_file is not None:
                run.wrote(out_file)  # it still runs: whoever goes on with it makes the table anew
        elif out_file is not None:
            save(client, status, out_file, as_json=as_json)
        else:
            show(client, status, as_json=as_json or bool(form), server=server)
    if not status.finished:
        say(f"{analysis_id} is not finished: {status.counts.settled} of {documents(status)} so far.")
    raise typer.Exit(1 if status.finished and status.counts.succeeded < status.counts.total else 0)


def save(client: Client, status: BatchStatus, path: Path, *, as_json: bool) -> None:
    """Add to the file the rows that it does not have yet."""
    with open_rows(path, status.id) as file:
        had = file.rows
        for line in client.result_lines(status.id, after=file.after):
            file.add(line)
    if as_json:
        print_json({"analysis": status.id, "file": str(path), "rows": file.rows, "new": file.rows - had})
    else:
        say(f"{path}: {file.rows} rows, {file.rows - had} of them new.")


def tell(path: Path | None, written: Written, status: BatchStatus, *, as_json: bool) -> None:
    """Say what a table or report has in it, and what in it is not as it was."""
    if as_json and path is not None:
        told = {"analysis": status.id, "file": str(path), "rows": written.rows, "disarmed": written.disarmed}
        print_json(told)
    elif path is not None:
        say(f"{path}: {written.rows} rows.")
    tell_disarmed(written)


def tell_run(path: Path, record: RunRecord, status: BatchStatus, *, as_json: bool) -> None:
    """Say what the output of a run has in it now, and that all that belongs to it was made anew."""
    count, files = record.tally.documents, beside(path).name
    if as_json:
        print_json({"analysis": status.id, "file": str(path), "rows": count, "run": files})
    else:
        many = f" of {len(record.parts)} analyses" if len(record.parts) > 1 else ""
        say(f"{path}: {count} rows{many}; how they were made is in {files}.")


def show(client: Client, status: BatchStatus, *, as_json: bool, server: str | None) -> None:
    """Print the rows, as a table or as they come."""
    report = Report()
    sink = raw_printer() if as_json else row_reader(report)
    for line in client.result_lines(status.id):
        sink(line)
    if not as_json:
        report.show(status, more=f"all: viiwork results {status.id} --out FILE{server_flag(server)}")
