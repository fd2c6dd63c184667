"""Options that several commands share, and the service they talk to."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from viiwork.cli.given import say_passed_over
from viiwork.cli.screen import say
from viiwork.client import Client
from viiwork.connection import DEFAULT_URL
from viiwork.errors import UsageError
from viiwork.settings import load_settings
from viiwork.statedir import StateDir

RETRIES = 3
"""A command gives up after about 2 s without a service."""

FLAGS = {
    **{"model": "--model", "max_output_tokens": "--max-tokens", "temperature": "--temperature"},
    **{"deadline_s": "--deadline", "callback_url": "--callback-url", "retention_hours": "--retention-hours"},
}
"""Where people who type commands find the fields of the API."""

Server = Annotated[
    str | None,
    typer.Option(
        "--server", metavar="URL", help="The service's address. Default: VIIWORK_URL, else this computer's fleet."
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="JSON on standard output, one object a line.")]


def connect(server: str | None, *, submitter: str | None = None) -> Client:
    """A client of the service that was named, or of this computer's fleet; `submitter` is not a person."""
    return Client(service_url(server), submitter=submitter, retries=RETRIES, on_remark=say, away_patience_s=0)


def service_url(server: str | None) -> str:
    """Where the service is: as it was named, as VIIWORK_URL says, or this computer's fleet."""
    return server or os.environ.get("VIIWORK_URL") or local_url() or DEFAULT_URL


def local_url() -> str | None:
    """Where this computer's fleet said that its API is, if one runs."""
    say_passed_over()
    run = StateDir(load_settings().state_dir).read_run()
    return run.supervisor.api_url or None if run and run.supervisor else None


def server_flag(server: str | None) -> str:
    """What a command shown to the person needs to reach the same service."""
    return f" --server {server}" if server else ""


@contextmanager
def by_flags() -> Iterator[None]:
    """What the service says of a field that has a flag is said of the flag. Raises UsageError."""
    try:
        yield
    except UsageError as error:
        field = error.param or ""
        flag = FLAGS.get(field.removeprefix("options."))
        if flag is None or not error.message.startswith(f"{field}: "):
            raise
        said = flag + error.message.removeprefix(field)
        raise type(error)(said, hint=error.hint, code=error.code, param=error.param) from error
