"""`viiwork swap`: one model in the place of another, while the fleet goes on."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.table import Table

from viiwork.cli.options import AsJson, Server, connect, server_flag
from viiwork.cli.screen import one_line, out, plain, print_json, say
from viiwork.errors import UsageError
from viiwork.hosts import Swap
from viiwork.wire import public


def swap(
    model: Annotated[str | None, typer.Argument(metavar="[MODEL]", help="The served model that goes.")] = None,
    *,
    to: Annotated[str | None, typer.Option(metavar="MODEL", help="The one that comes, as `up --model` has it.")] = None,
    server: Server = None,
    as_json: AsJson = False,
) -> None:
    """Serve another model in the place of one: one placement after the other drains and loads it, restarts included.

    Without a model, show how the last swaps stand. Exit code: 1 where one of those has failed.
    """
    if (model is None) != (to is None):
        raise UsageError("Name both: viiwork swap MODEL --to MODEL2.", param="model")
    with connect(server) as client:
        found = client.swap(model, to=to) if model is not None and to is not None else client.swaps()
    if as_json:
        for each in found:
            print_json(public(each))
    elif not found:
        out().print(plain("No model was swapped."))
    else:
        out().print(swaps_table(found))
        if any(each.state in ("asked", "under way") for each in found):
            say(f"How it stands: viiwork swap{server_flag(server)}")
    raise typer.Exit(1 if any(each.state == "failed" for each in found) else 0)


def swaps_table(found: tuple[Swap, ...]) -> Table:
    """A model and host a row."""
    table = Table("Model", "Becomes", "Host", "State", show_lines=True)
    table.add_column("Why", overflow="fold")
    for each in found:
        table.add_row(*(plain(one_line(cell)) for cell in (each.model, each.to, each.host, each.state, each.why)))
    return table
