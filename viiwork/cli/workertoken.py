"""`viiwork worker-token`: what lets a computer that joins reach the fleet's stored documents."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from viiwork.api.workertokens import WorkerTokens
from viiwork.cli.given import settings_from
from viiwork.cli.keydesk import note_here
from viiwork.cli.options import AsJson
from viiwork.cli.screen import out, plain, print_json, say
from viiwork.settings import Settings

worker_token = typer.Typer(
    no_args_is_help=True, help="What lets a computer that joins reach the fleet's documents. Run it on the head."
)

Name = Annotated[str, typer.Argument(help="Who gets it, such as the computer's name.")]
Fleet = Annotated[str | None, typer.Option(help="The fleet's name.")]
StateDirectory = Annotated[Path | None, typer.Option(help="The fleet's state directory.")]
Config = Annotated[Path | None, typer.Option(help="Settings file.", exists=True, dir_okay=False)]


@worker_token.command("create")
def create(
    name: Name, *, fleet: Fleet = None, state_dir: StateDirectory = None, config: Config = None, as_json: AsJson = False
) -> None:
    """Make a token and print it: it is shown this once, and only its hash is kept."""
    settings = _settings(fleet, state_dir, config)
    token = WorkerTokens(settings.state_dir).create(name)
    note_here(settings, "worker-token.created", {"name": name})
    if as_json:
        print_json({"name": name, "token": token})
        return
    print(token)
    say(f"Put it into a file on {name} that only its user can read, and name that in blobs.token_file there.")


@worker_token.command("list")
def list_tokens(
    *, fleet: Fleet = None, state_dir: StateDirectory = None, config: Config = None, as_json: AsJson = False
) -> None:
    """Show who has a token, and since when."""
    held = WorkerTokens(_settings(fleet, state_dir, config).state_dir).read()
    if as_json:
        for token in held:
            print_json({"name": token.name, "created": token.created})
        return
    table = Table("Name", "Since")
    for token in held:
        table.add_row(plain(token.name), plain(token.created))
    out().print(table if held else plain("There are no worker tokens."))


@worker_token.command("revoke")
def revoke(
    name: Name, *, fleet: Fleet = None, state_dir: StateDirectory = None, config: Config = None, as_json: AsJson = False
) -> None:
    """Let a token open nothing any more; the API heeds it within a second."""
    settings = _settings(fleet, state_dir, config)
    WorkerTokens(settings.state_dir).revoke(name)
    note_here(settings, "worker-token.revoked", {"name": name})
    if as_json:
        print_json({"name": name, "revoked": True})
    else:
        print(f"The token {name} opens nothing any more.")


def _settings(fleet: str | None, state_dir: Path | None, config: Path | None) -> Settings:
    return settings_from(config, fleet={"name": fleet, "state_dir": state_dir})
