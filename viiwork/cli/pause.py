"""`viiwork pause` and `viiwork resume`: hold an analysis, and let it go on."""

from __future__ import annotations

from typing import Annotated

import typer

from viiwork.cli.facts import documents
from viiwork.cli.options import AsJson, Server, connect
from viiwork.cli.screen import out, plain, print_json
from viiwork.jobs import BatchStatus
from viiwork.wire import public

Analysis = Annotated[str, typer.Argument(metavar="ID", help="The analysis, `an_…`.")]


def pause(analysis_id: Analysis, server: Server = None, as_json: AsJson = False) -> None:
    """Start nothing more of an analysis until it is resumed. What runs is finished."""
    with connect(server) as client:
        status = client.pause_analysis(analysis_id)
    show(status, "paused", as_json=as_json)


def resume(analysis_id: Analysis, server: Server = None, as_json: AsJson = False) -> None:
    """Go on with a paused analysis."""
    with connect(server) as client:
        status = client.resume_analysis(analysis_id)
    show(status, "running", as_json=as_json)


def show(status: BatchStatus, state: str, *, as_json: bool) -> None:
    """What came of it, in a line."""
    counts = status.counts
    are = "is" if counts.total == 1 else "are"
    line = f"{status.id} is {state}: {counts.settled} of {documents(status)} {are} done."
    if as_json:
        print_json(public(status))
    else:
        out().print(plain(line), soft_wrap=True)
