"""`viiwork status`: the fleet, an analysis or a job at this moment."""

from __future__ import annotations

from typing import Annotated

import typer
from pydantic import BaseModel
from rich.console import Group, RenderableType

from viiwork.cli.facts import analysis_view, job_view
from viiwork.cli.options import AsJson, Server, connect
from viiwork.cli.screen import out, print_json
from viiwork.cli.tables import fleet_view, tenants_table
from viiwork.client import Client
from viiwork.errors import UsageError
from viiwork.wire import public


def status(
    any_id: Annotated[str, typer.Argument(metavar="[ID]", help="An analysis or a job. Default: the fleet.")] = "",
    tenants: Annotated[
        bool, typer.Option("--tenants", help="Of the fleet: also who has most in it, and what that has used.")
    ] = False,
    server: Server = None,
    as_json: AsJson = False,
) -> None:
    """Show the fleet, or one analysis or job."""
    if tenants and any_id:
        raise UsageError("--tenants: is of the whole fleet.", hint="Leave the id out.", param="tenants")
    with connect(server) as client:
        record, view = look(client, any_id, tenants=tenants)
    if as_json:
        print_json(public(record))
    else:
        out().print(view)


def look(client: Client, any_id: str, *, tenants: bool = False) -> tuple[BaseModel, RenderableType]:
    """What an id stands for, and how it is shown."""
    if not any_id:
        fleet = client.fleet()
        view = fleet_view(fleet)
        return fleet, Group(view, tenants_table(fleet.tenants)) if tenants else view
    if is_analysis(any_id):
        analysis = client.analysis_status(any_id)
        return analysis, analysis_view(analysis)
    job = client.job(any_id)
    return job, job_view(job)


def is_analysis(any_id: str) -> bool:
    """Whether an id is an analysis'; its documents' jobs carry a dash."""
    return any_id.startswith("an_") and "-" not in any_id
