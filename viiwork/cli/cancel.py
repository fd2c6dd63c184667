"""`viiwork cancel`: end an analysis or a job early."""

from __future__ import annotations

from typing import Annotated

import typer

from viiwork.cli.facts import documents
from viiwork.cli.options import AsJson, Server, connect
from viiwork.cli.screen import out, plain, print_json
from viiwork.cli.status import is_analysis
from viiwork.client import Client
from viiwork.jobs import BatchStatus, Status
from viiwork.wire import public


def cancel(
    any_id: Annotated[str, typer.Argument(metavar="ID", help="An analysis or a job.")],
    server: Server = None,
    as_json: AsJson = False,
) -> None:
    """Cancel an analysis or a job. What has ended stays."""
    with connect(server) as client:
        record = cancelled(client, any_id)
    if as_json:
        print_json(public(record))
    else:
        out().print(plain(describe(record)))


def cancelled(client: Client, any_id: str) -> BatchStatus | Status:
    """Cancel what the id stands for."""
    return client.cancel_analysis(any_id) if is_analysis(any_id) else client.cancel_job(any_id)


def describe(record: BatchStatus | Status) -> str:
    """What came of cancelling, in a line."""
    if isinstance(record, Status):
        return f"{record.id} is {record.state.value}."
    counts = record.counts
    have = "has" if counts.total == 1 else "have"
    kept = f"{counts.succeeded} of {documents(record)} {have} an answer, {counts.cancelled} were cancelled"
    return f"{record.id} is {record.state.value}: {kept}."
