"""`viiwork priority`: how an analysis stands among the others of its submitter."""

from __future__ import annotations

from typing import Annotated

import typer

from viiwork.cli.options import AsJson, Server, connect
from viiwork.cli.screen import out, plain, print_json
from viiwork.cli.urgency import choose_priority
from viiwork.jobs import Priority
from viiwork.wire import public


def priority(
    analysis_id: Annotated[str, typer.Argument(metavar="ID", help="The analysis, `an_…`.")],
    level: Annotated[str, typer.Argument(metavar="|".join(Priority), help="Its share beside the others.")],
    server: Server = None,
    as_json: AsJson = False,
) -> None:
    """Let an analysis go before or after the others of the same submitter, from its next document on."""
    chosen = choose_priority(level)
    with connect(server) as client:
        status = client.prioritise_analysis(analysis_id, chosen)
    if as_json:
        print_json(public(status))
    else:
        out().print(plain(f"{status.id} has {status.priority.value} priority."), soft_wrap=True)
