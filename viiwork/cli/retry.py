"""`viiwork retry`: the documents of an analysis that failed, once more."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import typer

from viiwork.cli.options import AsJson, Server, connect, server_flag
from viiwork.cli.screen import out, plain, print_json, say
from viiwork.outcomes import Retried
from viiwork.wire import public


def retry(
    analysis_id: Annotated[str, typer.Argument(metavar="ID", help="The analysis, `an_…`.")],
    *,
    _failed: Annotated[
        bool, typer.Option("--failed", help="Those that failed, expired or died; this is the default.")
    ] = True,
    every: Annotated[
        bool, typer.Option("--all", help="Also those that cannot be read, such as encrypted or damaged ones.")
    ] = False,
    server: Server = None,
    as_json: AsJson = False,
) -> None:
    """Try the failed documents of an analysis again; those that have an answer are left as they are.

    Those that cannot be read would fail as they did: they are skipped, unless --all asks for them. A retried document
    gets a new row once it has ended. Dead letters are tried one by one by `viiwork dead retry`.
    """
    with connect(server) as client:
        done = client.retry_failed(analysis_id, every=every)
    if as_json:
        print_json(public(done))
        return
    out().print(plain(" ".join(told(done))))
    if done.retried:
        say(f"Follow with: viiwork watch {done.id}{server_flag(server)}")


def told(done: Retried) -> Iterator[str]:
    """How many are tried again, and how many are not, in sentences."""
    if done.retried:
        yield "1 document is tried again." if done.retried == 1 else f"{done.retried} documents are tried again."
    elif not done.skipped:
        yield "No document has failed: there is nothing to do."
    if done.skipped:
        many, them = ("1 document is", "it") if done.skipped == 1 else (f"{done.skipped} documents are", "them")
        yield f"{many} skipped: what cannot be read would fail again. `--all` tries {them} too."
