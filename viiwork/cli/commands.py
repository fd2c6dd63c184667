"""The subcommands of `viiwork`, and one line for whatever goes wrong."""

from __future__ import annotations

import os
import sys
import traceback
from importlib import import_module
from importlib.metadata import version
from typing import Annotated

import typer

from viiwork.cli.screen import clean, say
from viiwork.errors import ViiworkError

UNEXPECTED = 70
"""The exit code of a fault of ours (EX_SOFTWARE), apart from all that are agreed."""
REPORT_AT = "the project's issue tracker"

PLACES = {
    "up": "up:up",
    "down": "down:down",
    "ask": "ask:ask",
    "analyze": "analyze:analyze",
    "submit": "submit:submit",
    "watch": "watch:watch",
    "results": "results:results",
    "status": "status:status",
    "top": "top:top",
    "cancel": "cancel:cancel",
    "pause": "pause:pause",
    "resume": "pause:resume",
    "priority": "priority:priority",
    "bench": "bench:bench",
    "delete": "delete:delete",
    "retry": "retry:retry",
    "list": "listing:list_analyses",
    "drain": "drain:drain",
    "undrain": "drain:undrain",
    "swap": "swap:swap",
    "login": "login:login",
    "logout": "login:logout",
    "whoami": "login:whoami",
    "doctor": "doctor:doctor",
    "gpus": "gpus:gpus",
    "gc": "gc:gc",
    "backup": "backup:backup",
    "restore": "backup:restore",
    "plan": "plan:plan_command",
    "compose": "compose:compose",
    "callbacks": "callbacks:callbacks",
    "dead": "dead:dead",
    "keys": "apikeys:keys",
    "models": "models:models",
    "power": "power:power",
    "quarantine": "quarantine:quarantine",
    "service": "service:service",
    "worker-token": "workertoken:worker_token",
}
"""Each command's module in this room and its name there, in the order of the help. Only the one that is asked for is
loaded: all of them took half a second of each command's start."""


def app_of(*names: str) -> typer.Typer:
    """The command line with these commands of `PLACES`."""
    app = typer.Typer(
        name="viiwork",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        help="Documents in, answers out: a fleet of workers on a box of GPUs.",
    )
    app.callback()(options)
    for name in names:
        module, _, known_as = PLACES[name].partition(":")
        found = getattr(import_module(f"viiwork.cli.{module}"), known_as)
        if isinstance(found, typer.Typer):
            app.add_typer(found, name=name)
        else:
            app.command(name)(found)
    return app


def show_version(wanted: bool) -> None:
    """Print the version and leave."""
    if wanted:
        print(f"viiwork {version('viiwork')}")
        raise typer.Exit


def options(
    _version: Annotated[
        bool, typer.Option("--version", callback=show_version, is_eager=True, help="Show the version and leave.")
    ] = False,
) -> None:
    """Documents in, answers out: a fleet of workers on a box of GPUs.

    Exit codes: 0 done, 1 some items failed, 2 wrong usage, 3 no service answers.
    """


def execute(arguments: list[str]) -> int:
    """Run one command line; answers the exit code. No stack trace reaches a person who has not asked for it."""
    asked = PLACES.keys() & arguments[:1] or PLACES  # all of them for help, and where a word is none of theirs
    try:
        app_of(*asked)(args=arguments, prog_name="viiwork")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 0
    except ViiworkError as error:
        _trace()
        say(f"viiwork: {error}")
        return error.exit_code
    except BrokenPipeError:
        # The reader has gone (`| head`). Python would complain once more when it flushes at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:  # noqa: BLE001 - the last line of defence
        if not _trace():
            say(f"viiwork: this should not have happened: {type(error).__name__}: {clean(str(error))[:300]}")
            say(f"Please report it to {REPORT_AT}; VIIWORK_DEBUG=1 shows where it happened.")
        return UNEXPECTED
    return 0


def _trace() -> bool:
    """Show where it happened if VIIWORK_DEBUG asks for that."""
    if not os.environ.get("VIIWORK_DEBUG"):
        return False
    traceback.print_exc()
    return True
