"""`viiwork list`: which analyses there are."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.table import Table

from viiwork.cli.facts import moment, state_of
from viiwork.cli.notes import Metadata, labels_of
from viiwork.cli.options import AsJson, Server, connect, server_flag
from viiwork.cli.screen import one_line, out, plain, print_json, say
from viiwork.client.client import default_submitter, label
from viiwork.errors import UsageError
from viiwork.jobs import BatchState, BatchStatus
from viiwork.wire import public

SHOWN = 20
STATES = ", ".join(BatchState)


def list_analyses(
    *,
    states: Annotated[
        list[str] | None,
        typer.Option("--status", metavar="STATE", help=f"One of {STATES}; may be given several times."),
    ] = None,
    metadata: Metadata = None,
    mine: Annotated[bool, typer.Option("--mine", help="Only what this user of this computer sent.")] = False,
    limit: Annotated[int, typer.Option(min=1, help="How many at most.")] = SHOWN,
    server: Server = None,
    as_json: AsJson = False,
) -> None:
    """Show analyses and files of jobs, the newest first."""
    unknown = set(states or ()) - frozenset(BatchState)
    if unknown:
        wrong = min(unknown)
        raise UsageError(f"--status {wrong[:80]}: there is no such state.", hint=f"There are {STATES}.", param="status")
    submitter = label(default_submitter()) if mine else ""
    with connect(server) as client:
        wanted = labels_of(metadata)
        found = list(client.analyses(states=states or (), metadata=wanted, submitter=submitter, limit=limit))
    if as_json:
        for status in found:
            print_json(public(status))
    elif not found:
        out().print(plain("There are none."))
    else:
        out().print(analyses_table(found))
        if len(found) == limit:
            say(f"These are the newest {limit}; --limit shows more.")
        say(f"One in full: viiwork status ID{server_flag(server)}")


def analyses_table(found: list[BatchStatus]) -> Table:
    """An analysis a row. Ids stay whole on the narrowest screen, to be copied."""
    table = Table()
    table.add_column("Analysis", overflow="fold", width=max(len(status.id) for status in found))
    for heading in ("Task", "State", "Made", "Submitter"):
        table.add_column(heading, overflow="fold")
    for heading in ("Done", "Failed"):
        table.add_column(heading, justify="right")
    for status in found:
        counts = status.counts
        state = state_of(status).partition(":")[0]
        cells = (status.id, status.task, state, moment(status.created_ms), one_line(status.tenant))
        done = (f"{counts.settled}/{counts.total}", str(counts.failed))
        table.add_row(*(plain(cell) for cell in (*cells, *done)))
    return table
