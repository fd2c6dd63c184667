"""The subcommands of `viiwork`, and one line for whatever goes wrong."""

from __future__ import annotations

import os
import sys
import traceback
from importlib.metadata import version
from typing import Annotated

import typer

from viiwork.cli.analyze import analyze
from viiwork.cli.apikeys import keys
from viiwork.cli.ask import ask
from viiwork.cli.backup import backup, restore
from viiwork.cli.bench import bench
from viiwork.cli.callbacks import callbacks
from viiwork.cli.cancel import cancel
from viiwork.cli.compose import compose
from viiwork.cli.dead import dead
from viiwork.cli.delete import delete
from viiwork.cli.doctor import doctor
from viiwork.cli.down import down
from viiwork.cli.drain import drain, undrain
from viiwork.cli.gc import gc
from viiwork.cli.gpus import gpus
from viiwork.cli.listing import list_analyses
from viiwork.cli.login import login, logout, whoami
from viiwork.cli.models import models
from viiwork.cli.pause import pause, resume
from viiwork.cli.plan import plan_command
from viiwork.cli.power import power
from viiwork.cli.priority import priority
from viiwork.cli.quarantine import quarantine
from viiwork.cli.results import results
from viiwork.cli.retry import retry
from viiwork.cli.screen import clean, say
from viiwork.cli.service import service
from viiwork.cli.status import status
from viiwork.cli.submit import submit
from viiwork.cli.swap import swap
from viiwork.cli.top import top
from viiwork.cli.up import up
from viiwork.cli.watch import watch
from viiwork.cli.workertoken import worker_token
from viiwork.errors import ViiworkError

UNEXPECTED = 70
"""The exit code of a fault of ours (EX_SOFTWARE), apart from all that are agreed."""
REPORT_AT = "the project's issue tracker"

app = typer.Typer(
    name="viiwork",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Documents in, answers out: a fleet of workers on a box of GPUs.",
)
for command in (up, down, ask, analyze, submit, watch, results, status, top, cancel, pause, resume, priority, bench):
    app.command()(command)
for of_analyses in (delete, retry):
    app.command()(of_analyses)
app.command("list")(list_analyses)
for of_cards in (drain, undrain, swap):
    app.command()(of_cards)
for of_keys in (login, logout, whoami):
    app.command()(of_keys)
for of_the_host in (doctor, gpus, gc, backup, restore):
    app.command()(of_the_host)
app.command("plan")(plan_command)
app.command()(compose)
app.add_typer(callbacks, name="callbacks")
app.add_typer(dead, name="dead")
app.add_typer(keys, name="keys")
app.add_typer(models, name="models")
app.add_typer(power, name="power")
app.add_typer(quarantine, name="quarantine")
app.add_typer(service, name="service")
app.add_typer(worker_token, name="worker-token")


def show_version(wanted: bool) -> None:
    """Print the version and leave."""
    if wanted:
        print(f"viiwork {version('viiwork')}")
        raise typer.Exit


@app.callback()
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
    try:
        app(args=arguments, prog_name="viiwork")
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
