"""`viiwork top`: the fleet at work, live."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Annotated

import typer
from rich.live import Live

from viiwork.cli.board import board
from viiwork.cli.keys import Keys
from viiwork.cli.options import AsJson, Server, connect
from viiwork.cli.rates import Rates
from viiwork.cli.screen import out, print_json
from viiwork.client import Client
from viiwork.errors import Unavailable
from viiwork.roster import FleetStatus
from viiwork.wire import public

EVERY_S = 1.0
QUIT = frozenset("qQ")

Look = Callable[[], FleetStatus]


def top(
    once: Annotated[bool, typer.Option("--once", help="One look, then leave.")] = False,
    server: Server = None,
    as_json: AsJson = False,
) -> None:
    """Watch the fleet: what waits and runs by model and lane, workers and their slots, tokens a second, who waits.

    `q` or Ctrl-C ends it. Into a pipe or a file it is one look; with --json one object a second.
    """
    rates = Rates()
    with connect(server) as client:
        look = looker(client, rates)
        try:
            if as_json:
                print_looks(look, rates, once=once)
            elif once or not out().is_terminal:
                out().print(board(look(), rates))
            else:
                show(look, rates)
        except KeyboardInterrupt:
            raise typer.Exit(0) from None


def looker(client: Client, rates: Rates) -> Look:
    """A look at the fleet that the rates see too."""

    def look() -> FleetStatus:
        status = client.fleet()
        rates.see(time.monotonic(), status)
        return status

    return look


def print_looks(look: Look, rates: Rates, *, once: bool) -> None:
    """One object a look."""
    while True:
        status = look()
        print_json(public(status) | {"tokens_per_s": rates.by_worker(status)})
        if once:
            return
        time.sleep(EVERY_S)


def show(look: Look, rates: Rates) -> None:
    """On the whole terminal, until `q`. A service that goes away is waited for."""
    status, trouble = look(), ""
    with Keys() as keys, Live(console=out(), screen=True, auto_refresh=False) as live:
        while True:
            live.update(board(status, rates, trouble=trouble), refresh=True)
            if QUIT & set(keys.pressed(within_s=EVERY_S)):
                return
            try:
                status, trouble = look(), ""
            except Unavailable as error:
                trouble = f"{error.message} Asking again."
