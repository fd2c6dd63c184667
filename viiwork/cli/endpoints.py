"""`viiwork callbacks endpoint`: URLs that are told of events, each with a secret of its own."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.table import Table

from viiwork.cli.facts import moment
from viiwork.cli.options import AsJson, Server, connect
from viiwork.cli.screen import one_line, out, plain, print_json, say
from viiwork.client import Client
from viiwork.deliveries import EVERYTHING, OF_ENDPOINTS, Endpoint, SecretShown, Trial
from viiwork.errors import NotFound
from viiwork.wire import public

endpoint = typer.Typer(no_args_is_help=True, help="URLs that are told of events, each with a secret of its own.")

Url = Annotated[str, typer.Argument(metavar="URL", help="The endpoint's URL, or its id.")]
Fresh = Annotated[str, typer.Argument(metavar="URL", help="Where events are sent to: https://…")]
Wanted = Annotated[
    str, typer.Option("--events", help=f"Of {', '.join(OF_ENDPOINTS)}, parted by commas. Default: all of them.")
]
AtOnce = Annotated[bool, typer.Option("--at-once", help="The old secret ends now, not in a day: it leaked.")]


@endpoint.command("add")
def add(url: Fresh, *, events: Wanted = EVERYTHING, server: Server = None, as_json: AsJson = False) -> None:
    """Tell a URL of your analyses' ends from now on, and of the fleet. Its secret is shown this once."""
    names = [name.strip() for name in events.split(",") if name.strip()]
    with connect(server) as client:
        show_secret(client.add_endpoint(url, events=names), as_json=as_json)


@endpoint.command("list")
def list_endpoints(server: Server = None, as_json: AsJson = False) -> None:
    """Show your endpoints and what each wants; their secrets are never shown again."""
    with connect(server) as client:
        found = client.endpoints()
    if as_json:
        for each in found:
            print_json(public(each))
    elif not found:
        out().print(plain("You have no endpoints."))
    else:
        out().print(endpoints_table(found))


@endpoint.command("rotate")
def rotate(url: Url, *, at_once: AtOnce = False, server: Server = None, as_json: AsJson = False) -> None:
    """Make a new secret, which is shown this once. For a day both sign, so that nothing is missed."""
    with connect(server) as client:
        show_secret(client.rotate_endpoint(chosen(client, url).id, at_once=at_once), as_json=as_json)


@endpoint.command("test")
def test(url: Url, *, server: Server = None, as_json: AsJson = False) -> None:
    """Send one event that says it is a test, at once, and say what came of it.

    Exit code: 0 the endpoint has it, 1 it does not.
    """
    with connect(server) as client:
        trial = client.test_endpoint(chosen(client, url).id)
    if as_json:
        print_json(public(trial))
    else:
        out().print(plain(told(trial)), soft_wrap=True)
    raise typer.Exit(0 if trial.delivered else 1)


@endpoint.command("remove")
def remove(url: Url, *, server: Server = None, as_json: AsJson = False) -> None:
    """Tell it nothing more; what is on its way to it is given up."""
    with connect(server) as client:
        gone = client.remove_endpoint(chosen(client, url).id)
    if as_json:
        print_json(public(gone))
    else:
        out().print(plain(f"{one_line(gone.url)} is told nothing more."), soft_wrap=True)


def chosen(client: Client, named: str) -> Endpoint:
    """The endpoint of this URL or id. Raises NotFound."""
    found = next((each for each in client.endpoints() if named in (each.url, each.id)), None)
    if found is None:
        message = "You have no endpoint of this URL."
        raise NotFound(message, hint="`viiwork callbacks endpoint list` shows yours.", param="url")
    return found


def show_secret(shown: SecretShown, *, as_json: bool) -> None:
    """The secret alone on standard output, so that it can go into a file; what to know of it beside that."""
    if as_json:
        print_json(public(shown))
        return
    print(shown.secret)
    say("This is the secret, shown this once: the receiver verifies callbacks by it.")
    two_until_ms = shown.endpoint.two_until_ms if shown.endpoint else shown.two_until_ms
    if two_until_ms:
        say(f"The one before signs too until {moment(two_until_ms)}.")


def told(trial: Trial) -> str:
    """What came of a test, in a line."""
    took = f"in {trial.seconds:.1f} s"
    return f"It was taken {took} ({trial.status})." if trial.delivered else f"It was not taken: {one_line(trial.fault)}"


def endpoints_table(found: tuple[Endpoint, ...]) -> Table:
    """An endpoint a row."""
    table = Table(show_lines=True)
    for heading in ("URL", "Wants", "Since", "Id"):
        table.add_column(heading, overflow="fold")
    for each in found:
        wants = "all events" if EVERYTHING in each.events else "\n".join(each.events)
        cells = (one_line(each.url), wants, moment(each.created_ms), each.id)
        table.add_row(*(plain(cell) for cell in cells))
    return table
