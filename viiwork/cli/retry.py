"""`viiwork retry`: the documents of an analysis that failed, once more."""

from __future__ import annotations

from typing import Annotated

import typer

from viiwork.cli.options import AsJson, Server, connect, server_flag
from viiwork.cli.screen import out, plain, print_json, say
from viiwork.wire import public


def retry(
    analysis_id: Annotated[str, typer.Argument(metavar="ID", help="The analysis, `an_…`.")],
    *,
    _failed: Annotated[
        bool, typer.Option("--failed", help="Those that failed, expired or died. There is no other choice.")
    ] = True,
    server: Server = None,
    as_json: AsJson = False,
) -> None:
    """Try the failed documents of an analysis again; those that have an answer are left as they are.

    A retried document gets a new row once it has ended. Dead letters are tried one by one by `viiwork dead retry`.
    """
    with connect(server) as client:
        done = client.retry_failed(analysis_id)
    if as_json:
        print_json(public(done))
        return
    many = "1 document is" if done.retried == 1 else f"{done.retried} documents are"
    out().print(plain(f"{many} tried again." if done.retried else "No document has failed: there is nothing to do."))
    if done.retried:
        say(f"Follow with: viiwork watch {done.id}{server_flag(server)}")
