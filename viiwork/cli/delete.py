"""`viiwork delete`: an analysis and all that is kept of it."""

from __future__ import annotations

from typing import Annotated

import typer

from viiwork.cli.agreement import check_agreed
from viiwork.cli.facts import moment
from viiwork.cli.options import AsJson, Server, connect
from viiwork.cli.screen import out, plain, print_json, say
from viiwork.receipts import Receipt
from viiwork.wire import public


def delete(
    analysis_id: Annotated[str, typer.Argument(metavar="ID", help="The analysis, `an_…`.")],
    *,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask; needed where there is no terminal.")] = False,
    server: Server = None,
    as_json: AsJson = False,
) -> None:
    """Delete an analysis: documents, prompts, texts, results and callbacks. What runs of it is stopped first.

    Rows that were written to files stay, and so do backups. Asking again shows the same receipt.
    """
    check_agreed(f"Delete {analysis_id} and its results? Nothing brings them back.", yes=yes)
    with connect(server) as client:
        done = client.delete_analysis(analysis_id)
    if as_json:
        print_json(public(done))
    else:
        out().print(plain(describe(done)))
    if not done.finished:
        say("The rest of it goes by itself; ask again to see when that is done.")


def describe(done: Receipt) -> str:
    """The receipt in a line."""
    gone = f"{counted(done.jobs, 'record')}, {counted(done.blobs, 'file')}, {counted(done.callbacks, 'callback')}"
    return f"{done.id} was deleted at {moment(done.deleted_ms)}: {counted(done.documents, 'document')}; {gone}."


def counted(number: int, what: str) -> str:
    """`1 file`, `2 files`."""
    return f"{number} {what}{'' if number == 1 else 's'}"
