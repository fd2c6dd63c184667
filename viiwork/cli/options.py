"""Options that several commands share, and the service they talk to."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated

import typer

from viiwork.client import Client
from viiwork.connection import DEFAULT_URL
from viiwork.settings import load_settings

RETRIES = 3
"""A command gives up after about 2 s without a service."""

Server = Annotated[
    str | None,
    typer.Option(
        "--server", metavar="URL", help="The service's address. Default: VIIWORK_URL, else this computer's fleet."
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="JSON on standard output, one object a line.")]


def connect(server: str | None) -> Client:
    """A client of the service that was named, or of this computer's fleet."""
    return Client(server or os.environ.get("VIIWORK_URL") or local_url() or DEFAULT_URL, retries=RETRIES)


def local_url() -> str | None:
    """Where this computer's fleet said that its API is, if one runs."""
    return url_in(load_settings().state_dir / "run.json")


def url_in(run_file: Path) -> str | None:
    """`api_url` of a run file; None when there is no such file, or nothing sensible in it."""
    try:
        run = json.loads(run_file.read_text())
    except (OSError, ValueError):
        return None
    url = run.get("api_url") if isinstance(run, dict) else None
    return url if isinstance(url, str) and url else None


def server_flag(server: str | None) -> str:
    """What a command shown to the person needs to reach the same service."""
    return f" --server {server}" if server else ""
