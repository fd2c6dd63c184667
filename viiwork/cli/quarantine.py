"""`viiwork quarantine`: workers that may take no jobs, to be looked at and let work again."""

from __future__ import annotations

from typing import Annotated

import typer

from viiwork.cli.options import AsJson, Server, connect, server_flag
from viiwork.cli.putaside import PutAside

quarantine = typer.Typer(no_args_is_help=True, help="Workers that may take no jobs: see why, let them work again.")

Names = Annotated[list[str] | None, typer.Argument(metavar="WORKER…", help="Workers, as `viiwork status` names them.")]
Every = Annotated[bool, typer.Option("--all", help="All workers that are quarantined.")]


QUARANTINED = PutAside(
    heading="Worker",
    none="No worker is quarantined.",
    again="Let them work again: viiwork quarantine lift WORKER…",
    back="May take jobs again",
    nothing_back="No quarantine was lifted.",
    not_there="it is not quarantined",
    shown_by="viiwork quarantine list",
)


@quarantine.command("list")
def list_quarantined(server: Server = None, as_json: AsJson = False) -> None:
    """Show the workers that may take no jobs, and why."""
    with connect(server) as client:
        found = client.quarantined()
    why = {each.worker: each.why for each in found}
    QUARANTINED.show(why, found, flag=server_flag(server), as_json=as_json)


@quarantine.command("lift")
def lift(names: Names = None, *, every: Every = False, server: Server = None, as_json: AsJson = False) -> None:
    """Let workers take jobs again; an engine that was given up is tried once more.

    Exit code: 0 all that were named are let, 1 some were not quarantined.
    """
    QUARANTINED.check_named(names, every=every)
    with connect(server) as client:
        came = client.lift_quarantine(names or None)
    QUARANTINED.report(came.lifted, came.unknown, came, as_json=as_json)
