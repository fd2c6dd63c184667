"""`viiwork drain` and `undrain`: cards that take nothing more, until a person takes that back."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.table import Table

from viiwork.cli.options import AsJson, Server, connect, server_flag
from viiwork.cli.screen import one_line, out, plain, print_json, say
from viiwork.errors import UsageError
from viiwork.hosts import Drained
from viiwork.wire import public

Names = Annotated[list[str] | None, typer.Argument(metavar="CARD…", help="Such as gpu2, gpu2@host, gpu2+gpu3.")]


def drain(
    names: Names = None,
    *,
    reason: Annotated[str, typer.Option(help="Why, for whoever wonders later.")] = "",
    server: Server = None,
    as_json: AsJson = False,
) -> None:
    """Let the workers of cards finish what they have and end; the cards are left out of the plan, restarts included.

    Without a card, show those that are drained.
    """
    if reason and not names:
        raise UsageError("--reason: which cards? Name them.", hint="viiwork drain gpu2 --reason fan", param="workers")
    with connect(server) as client:
        found = client.drain(names, reason=reason) if names else client.drained()
    if as_json:
        for each in found:
            print_json(public(each))
    elif not found:
        out().print(plain("No card is drained."))
    else:
        out().print(drains_table(found))
        say(f"Have them in the plan again: viiwork undrain CARD…{server_flag(server)}")


def undrain(
    names: Names = None,
    *,
    every: Annotated[bool, typer.Option("--all", help="All cards that are drained.")] = False,
    server: Server = None,
    as_json: AsJson = False,
) -> None:
    """Have drained cards in the plan again.

    Exit code: 0 all that were named are back, 1 some were not drained.
    """
    if every == bool(names):
        raise UsageError("Name cards, or take --all.", hint="`viiwork drain` shows those that are drained.")
    with connect(server) as client:
        wanted = names or [each.worker for each in client.drained()]
        came = client.undrain(wanted) if wanted else None
    if came is None:
        out().print(plain("No card is drained."))
        return
    if as_json:
        print_json(public(came))
    else:
        back = ", ".join(one_line(name) for name in came.undrained)
        out().print(plain(f"In the plan again: {back}." if back else "No drain was taken back."))
    for name in came.unknown:
        say(f"{one_line(name)}: it is not drained.")
    raise typer.Exit(1 if came.unknown else 0)


def drains_table(found: tuple[Drained, ...]) -> Table:
    """A card a row."""
    table = Table("Card", show_lines=True)
    table.add_column("Why", overflow="fold")
    for each in found:
        table.add_row(plain(one_line(each.worker)), plain(one_line(each.reason) or "drained"))
    return table
