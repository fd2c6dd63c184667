"""`viiwork swap`: one model in the place of another, while the fleet goes on."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.table import Table

from viiwork.cli.options import AsJson, Server, connect, server_flag
from viiwork.cli.screen import one_line, out, plain, print_json, say
from viiwork.client import Client
from viiwork.errors import UsageError
from viiwork.hosts import Swap
from viiwork.wire import public

NOT_DONE = ("failed", "expired")


def swap(
    model: Annotated[str | None, typer.Argument(metavar="[MODEL]", help="The served model that goes.")] = None,
    *,
    to: Annotated[str | None, typer.Option(metavar="MODEL", help="The one that comes, as `up --model` has it.")] = None,
    take_cards: Annotated[
        bool, typer.Option("--take-cards", help="It may take cards of other models where it needs them.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")] = False,
    server: Server = None,
    as_json: AsJson = False,
) -> None:
    """Serve another model on the cards of one: one placement after the other drains and loads it, restarts included.

    Without a model, show how the last swaps stand. Exit code: 1 where one of those has failed or was not begun in time.
    """
    if (model is None) != (to is None) or (model is None and (take_cards or dry_run)):
        raise UsageError("Name both: viiwork swap MODEL --to MODEL2.", param="model")
    with connect(server) as client:
        if model is None or to is None:
            found = client.swaps()
        else:
            found = asked(client, model, to=to, take_cards=take_cards, dry_run=dry_run)
    show(found, server=server, as_json=as_json)
    raise typer.Exit(1 if any(each.state in NOT_DONE for each in found) else 0)


def asked(client: Client, model: str, *, to: str, take_cards: bool, dry_run: bool) -> tuple[Swap, ...]:
    """The hosts are first asked what they would do, and it is said, before any of them begins."""
    found = client.swap(model, to=to, take_cards=take_cards, dry_run=True)
    if dry_run or all(each.state == "done" for each in found):
        return found
    for each in found:
        say(f"{one_line(each.host)}: {one_line(each.plan)}")
    return client.swap(model, to=to, take_cards=take_cards)


def show(found: tuple[Swap, ...], *, server: str | None, as_json: bool) -> None:
    """How they stand."""
    if as_json:
        for each in found:
            print_json(public(each))
    elif not found:
        out().print(plain("No model was swapped."))
    else:
        out().print(swaps_table(found))
        if any(each.state in ("asked", "under way") for each in found):
            say(f"How it stands: viiwork swap{server_flag(server)}")


def swaps_table(found: tuple[Swap, ...]) -> Table:
    """A model and host a row."""
    table = Table("Model", "Becomes", "Host", "State", show_lines=True)
    table.add_column("Remarks", overflow="fold")
    for each in found:
        cells = (each.model, each.to, each.host, each.state, each.why or each.plan)
        table.add_row(*(plain(one_line(cell)) for cell in cells))
    return table
