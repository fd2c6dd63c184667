"""`viiwork down`: stop a fleet."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from viiwork.cli.given import settings_from
from viiwork.cli.screen import print_json, say
from viiwork.fleet.down import take_down


def down(
    *,
    fleet: Annotated[str | None, typer.Option(help="The fleet's name.")] = None,
    state_dir: Annotated[Path | None, typer.Option(help="The fleet's state directory.")] = None,
    config: Annotated[Path | None, typer.Option(help="Settings file.", exists=True, dir_okay=False)] = None,
    now: Annotated[bool, typer.Option("--now", help="Do not wait for running work; it is done again later.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Stop the fleet in order, or clean up after one that was killed. Results and waiting work are kept."""
    settings = settings_from(config, fleet={"name": fleet, "state_dir": state_dir})
    stopped = take_down(settings, now=now, tell=say)
    if as_json:
        print_json({"fleet": settings.fleet.name, "stopped": stopped})
    elif stopped:
        print(f"The fleet '{settings.fleet.name}' is stopped.")
    else:
        print(f"The fleet '{settings.fleet.name}' is not running.")
