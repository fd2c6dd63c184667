"""`viiwork gpus`: the cards of this computer, how warm they are and what they draw."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.live import Live

from viiwork.cardwords import brakes
from viiwork.cli.cardholders import Holders, holders_here
from viiwork.cli.cardsource import card_source
from viiwork.cli.cardtable import card_table
from viiwork.cli.fitting import FittedTable
from viiwork.cli.given import settings_from
from viiwork.cli.keys import Keys
from viiwork.cli.options import AsJson
from viiwork.cli.screen import one_line, out, print_json, say
from viiwork.cli.tables import NO_REASON
from viiwork.cli.toldcards import show_told
from viiwork.devices import Device, Devices, Reading
from viiwork.devices.choose import SIMULATED
from viiwork.fleet.running import simulated_cards
from viiwork.settings import Settings
from viiwork.statedir import StateDir

EVERY_S = 2.0
QUIT = frozenset("qQ")
NO_CARDS = 1

Seen = Sequence[tuple[Device, Reading]]
Whose = tuple[Holders, Mapping[str, str]]
"""Who has which card, and why cards are drained, by `gpu2`."""
Ask = Callable[[], Whose]


def gpus(
    *,
    devices: Annotated[
        str | None,
        typer.Option(metavar="SPEC", help="auto, cpu, or simulated ones: simulated:4xRadeonVII+2xMI50-32GB."),
    ] = None,
    watch: Annotated[bool, typer.Option("--watch", help="Every two seconds, until `q` or Ctrl-C.")] = False,
    fleet: Annotated[str | None, typer.Option(help="The fleet whose simulated cards are shown.")] = None,
    state_dir: Annotated[Path | None, typer.Option(help="That fleet's state directory.")] = None,
    config: Annotated[Path | None, typer.Option(help="Settings file.", exists=True, dir_okay=False)] = None,
    as_json: AsJson = False,
) -> None:
    """Show the cards of this computer: memory, load, temperatures with their limits, power, clocks, link; and, where a
    fleet runs here that was told of cards, which worker has each and what holds that one back.

    Exit codes: 0 there are cards, 1 there are none, 2 wrong usage.
    """
    settings = settings_from(config, fleet={"name": fleet, "state_dir": state_dir}, devices={"spec": devices})
    whose = card_source(settings, named=devices is not None)
    source = whose.open()
    seen = look(source)
    if not seen:
        if devices is None and not watch and show_told(as_json=as_json):
            return
        whose.explain(source, command="gpus")
        raise typer.Exit(NO_CARDS)
    if not as_json and (remark := whose.remark()):
        say(remark)

    def ask() -> Whose:
        return holders_here(settings), drained_here(settings, shown=whose.spec)

    show = print_cards if as_json else print_table
    try:
        if not watch:
            mine = ask()
            show(seen, mine)
            say_drained({} if as_json else mine[1])
        elif as_json or not out().is_terminal:
            follow(source, ask, show)
        else:
            live(source, ask)
    except KeyboardInterrupt:
        raise typer.Exit(0) from None


def look(source: Devices) -> Seen:
    """Every card and how it is now."""
    return [(device, source.read(device)) for device in source.found()]


def print_table(seen: Seen, whose: Whose) -> None:
    """For a person."""
    out().print(table_of(seen, whose))


def table_of(seen: Seen, whose: Whose) -> FittedTable:
    """A line a card."""
    holders, drains = whose
    return card_table(seen, holders=holders, drains=drains)


def print_cards(seen: Seen, of_whom: Whose) -> None:
    """For a program: one object a card; what is not known is null. `drained` is the reason, null while it is not."""
    holders, drains = of_whom
    for device, reading in seen:
        holder = holders.get(device.id)
        whose = {"worker": holder and holder.card.name, "held_back_by": list(brakes(holder)) if holder else None}
        print_json(asdict(device) | asdict(reading) | whose | {"drained": drains.get(f"gpu{device.index}")})


def drained_here(settings: Settings, *, shown: str) -> Mapping[str, str]:
    """The cards that the fleet of this computer leaves out, as its supervisor wrote down; none where others are shown.

    Simulated cards have the same names as real ones.
    """
    run = StateDir(settings.state_dir).read_run()
    others = simulated_cards(run) != (shown if shown.startswith(SIMULATED) else "")
    return {} if others or run is None or run.supervisor is None else run.supervisor.drained


def say_drained(drains: Mapping[str, str]) -> None:
    """Beside the table."""
    for name, reason in drains.items():
        say(f"{one_line(name)} is drained: {one_line(reason) or NO_REASON} (viiwork undrain {one_line(name)})")


def follow(source: Devices, ask: Ask, show: Callable[[Seen, Whose], None]) -> None:
    """One look after the other, below each other."""
    with Keys() as keys:
        while True:
            show(look(source), ask())
            if QUIT & set(keys.pressed(within_s=EVERY_S)):
                return


def live(source: Devices, ask: Ask) -> None:
    """On the whole terminal. A card that falls off the bus stays, with that said of it."""
    known: dict[str, Device] = {}
    with Keys() as keys, Live(console=out(), screen=True, auto_refresh=False) as screen:
        while True:
            known |= {device.id: device for device in source.found()}
            seen = [(device, source.read(device)) for device in known.values()]
            screen.update(table_of(seen, ask()), refresh=True)
            if QUIT & set(keys.pressed(within_s=EVERY_S)):
                return
