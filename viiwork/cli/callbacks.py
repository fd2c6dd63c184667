"""`viiwork callbacks`: what was told to whom, sending it once more, and the secret for URLs that come with requests."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.table import Table

from viiwork.cli.endpoints import AtOnce, endpoint, show_secret
from viiwork.cli.facts import moment
from viiwork.cli.options import AsJson, Server, connect, server_flag
from viiwork.cli.screen import one_line, out, plain, print_json, say
from viiwork.deliveries import Delivery, DeliveryState
from viiwork.errors import UsageError
from viiwork.wire import public

SHOWN = 50

callbacks = typer.Typer(no_args_is_help=True, help="Callbacks: who is told of events, what was told, send it again.")
callbacks.add_typer(endpoint, name="endpoint")

Ids = Annotated[list[str] | None, typer.Argument(metavar="ID…", help="Callbacks, by their ids.")]
CallbackUrl = Annotated[
    str, typer.Option("--callback-url", metavar="URL", help="Told when it has ended. See `viiwork callbacks secret`.")
]


@callbacks.command("list")
def list_callbacks(
    state: Annotated[str, typer.Option(help=f"One of {', '.join(DeliveryState)}.")] = DeliveryState.PENDING.value,
    limit: Annotated[int, typer.Option(min=1, help="How many at most.")] = SHOWN,
    server: Server = None,
    as_json: AsJson = False,
) -> None:
    """Show callbacks of one state, the newest first: those under way, delivered, or given up (dead)."""
    if state not in list(DeliveryState):
        raise UsageError(f"--state: there are {', '.join(DeliveryState)}.", param="state")
    with connect(server) as client:
        found = list(client.callbacks(state, limit=limit))
    if as_json:
        for each in found:
            print_json(public(each))
    elif not found:
        out().print(plain(f"No callback is {state}."))
    else:
        out().print(callbacks_table(found))
        if len(found) == limit:
            say(f"These are the last {limit}; --limit shows more.")
        say(f"Send some once more: viiwork callbacks replay ID…{server_flag(server)}")


@callbacks.command("replay")
def replay(
    ids: Ids = None,
    *,
    every: Annotated[bool, typer.Option("--all", help="All that were given up.")] = False,
    server: Server = None,
    as_json: AsJson = False,
) -> None:
    """Send callbacks once more, each under its own id, so that a receiver knows one that it has already.

    Exit code: 0 all will be sent, 1 some are not there any more.
    """
    if bool(ids) == every:
        raise UsageError("Name callbacks by their ids, or take --all.", hint="`viiwork callbacks list --state dead`.")
    with connect(server) as client:
        replayed = client.replay_callbacks(ids or None)
    if as_json:
        print_json(public(replayed))
    else:
        what = "1 callback" if replayed.done == 1 else f"{replayed.done} callbacks"
        out().print(plain(f"{what} will be sent once more."))
    for refusal in replayed.refused:
        say(f"{one_line(refusal.id)}: {refusal.message}")
    raise typer.Exit(1 if replayed.refused else 0)


@callbacks.command("secret")
def secret(*, at_once: AtOnce = False, server: Server = None, as_json: AsJson = False) -> None:
    """Make the secret that signs for each `--callback-url` of yours, or a new one; it is shown this once."""
    with connect(server) as client:
        show_secret(client.callback_secret(at_once=at_once), as_json=as_json)


def callbacks_table(found: list[Delivery]) -> Table:
    """A callback a row. Ids stay whole on the narrowest screen, to be copied."""
    table = Table(show_lines=True)
    table.add_column("Callback", overflow="fold", width=max(len(each.id) for each in found))
    for heading in ("Event", "To", "Tries"):
        table.add_column(heading, overflow="fold")
    for each in found:
        tries = "\n".join(
            filter(None, (f"{each.tries}, last {moment(each.tried_ms)}" if each.tried_ms else "0", each.fault))
        )
        event = f"{each.type}\n{each.subject}\n{moment(each.created_ms)}"
        table.add_row(*(plain(one_line_each(cell)) for cell in (each.id, event, each.url, tries)))
    return table


def one_line_each(cell: str) -> str:
    """Each of its lines without what could steer a terminal."""
    return "\n".join(one_line(line) for line in cell.split("\n"))
