"""`viiwork quarantine`: workers that may take no jobs, to be looked at and let work again."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.table import Table

from viiwork.cli.options import AsJson, Server, connect, server_flag
from viiwork.cli.screen import one_line, out, plain, print_json, say
from viiwork.errors import UsageError
from viiwork.roster import Lifted, Quarantined
from viiwork.wire import public

quarantine = typer.Typer(no_args_is_help=True, help="Workers that may take no jobs: see why, let them work again.")

Names = Annotated[list[str] | None, typer.Argument(metavar="WORKER…", help="Workers, as `viiwork status` names them.")]
Every = Annotated[bool, typer.Option("--all", help="All workers that are quarantined.")]


@quarantine.command("list")
def list_quarantined(server: Server = None, as_json: AsJson = False) -> None:
    """Show the workers that may take no jobs, and why."""
    with connect(server) as client:
        found = client.quarantined()
    if as_json:
        for worker in found:
            print_json(public(worker))
    elif not found:
        out().print(plain("No worker is quarantined."))
    else:
        out().print(workers_table(found))
        say(f"Let them work again: viiwork quarantine lift WORKER…{server_flag(server)}")


@quarantine.command("lift")
def lift(names: Names = None, *, every: Every = False, server: Server = None, as_json: AsJson = False) -> None:
    """Let workers take jobs again; an engine that was given up is tried once more.

    Exit code: 0 all that were named are let, 1 some were not quarantined.
    """
    if every and names:
        raise UsageError("--all: name some workers, or take all, not both.")
    if not every and not names:
        raise UsageError("Name workers, or take --all.", hint="`viiwork quarantine list` shows them.")
    with connect(server) as client:
        report(client.lift_quarantine(names or None), as_json=as_json)


def report(lifted: Lifted, *, as_json: bool) -> None:
    """Say who may work again, and who was not quarantined."""
    if as_json:
        print_json(public(lifted))
    else:
        names = ", ".join(one_line(name) for name in lifted.lifted)
        out().print(plain(f"May take jobs again: {names}." if names else "No quarantine was lifted."))
    for name in lifted.unknown:
        say(f"{one_line(name)}: it is not quarantined.")
    raise typer.Exit(1 if lifted.unknown else 0)


def workers_table(found: tuple[Quarantined, ...]) -> Table:
    """A worker a row."""
    table = Table("Worker", show_lines=True)
    table.add_column("Why", overflow="fold")
    for worker in found:
        table.add_row(plain(one_line(worker.worker)), plain(one_line(worker.why)))
    return table
