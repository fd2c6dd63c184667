"""`viiwork power`: what the cards draw, and how much they may."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from rich import box
from rich.table import Table

from viiwork.cardwords import UNKNOWN, whole
from viiwork.cli.cardsource import CardSource, card_source
from viiwork.cli.given import settings_from
from viiwork.cli.gpus import NO_CARDS, Seen, look
from viiwork.cli.options import AsJson
from viiwork.cli.ruling import print_ruling, ruling_now
from viiwork.cli.screen import one_line, out, plain, print_json, say
from viiwork.devices import Device, Devices, Reading
from viiwork.devices.caps import check_watts, set_caps, writable
from viiwork.errors import UsageError
from viiwork.settings import Settings

power = typer.Typer(no_args_is_help=True, help="What the cards draw, and how much they may: see it, cap it.")

HOW = {True: "yes", False: "root", None: "by NVML"}
LOST = "Caps are lost when the driver or the computer starts again: set them at every start."

Spec = Annotated[str | None, typer.Option("--devices", metavar="SPEC", help="auto, or such as simulated:4xRadeonVII.")]
Fleet = Annotated[str | None, typer.Option(help="The fleet whose simulated cards are meant.")]
StateDirectory = Annotated[Path | None, typer.Option(help="That fleet's state directory.")]
Config = Annotated[Path | None, typer.Option(help="Settings file.", exists=True, dir_okay=False)]


@dataclass(frozen=True, slots=True)
class CardPower:
    """One line: a card, how it is, and whether its cap can be written."""

    device: Device
    reading: Reading
    writable: bool | None

    @property
    def name(self) -> str:
        """`gpu2`; of a card that this user may not open, its PCI address."""
        return name_of(self.device)


@power.command("show")
def show(
    *,
    devices: Spec = None,
    fleet: Fleet = None,
    state_dir: StateDirectory = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Show what each card draws, its cap with the limits, and whether this user may write it; and, while `viiwork up`
    keeps to watts or hours, the budget, what is drawn of it, the schedule's entry in force and what each worker may do.

    Exit codes: 0 there are cards, 1 there are none, 2 wrong usage.
    """
    settings = named(devices, fleet, state_dir, config)
    told = ruling_now(settings.state_dir, now_s=time.monotonic())
    whose = card_source(settings, named=devices is not None)
    seen = present(whose, whose.open(), command="power show", as_json=as_json, quiet=told is not None)
    print_power(seen, as_json=as_json)
    if told is not None:
        print_ruling(told, as_json=as_json)
    if not seen:
        raise typer.Exit(NO_CARDS)


@power.command("set")
def set_power(
    watts: Annotated[int, typer.Argument(metavar="WATTS", min=0, help="The cap of each card; 0 restores the default.")],
    *,
    card: Annotated[list[str] | None, typer.Option(help="gpu2, a PCI address or a UUID; may be repeated.")] = None,
    every: Annotated[bool, typer.Option("--all", help="All cards.")] = False,
    devices: Spec = None,
    fleet: Fleet = None,
    state_dir: StateDirectory = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Cap the power of cards, through `sudo -n` where only root may. Caps last until the driver starts again.

    Exit codes: 0 done, 1 not all could be written or there are no cards, 2 wrong usage.
    """
    if every == bool(card):
        raise UsageError("Name cards with --card gpu0, or take --all.", hint="`viiwork power show` lists them.")
    whose = card_source(named(devices, fleet, state_dir, config), named=devices is not None)
    source = whose.open()
    seen = present(whose, source, command=f"power set {watts} --all", as_json=as_json)
    meant = seen if every else chosen(seen, card or [])
    for device, reading in meant:
        check_watts(device, reading, watts)
    set_caps(source, tuple(device for device, _ in meant), watts)
    print_power([(device, source.read(device)) for device, _ in meant], as_json=as_json)
    if watts:
        say(LOST)


def named(devices: str | None, fleet: str | None, state_dir: Path | None, config: Path | None) -> Settings:
    """The settings, which say where the cards come from and which fleet is meant. Raises UsageError, SettingsError."""
    return settings_from(config, fleet={"name": fleet, "state_dir": state_dir}, devices={"spec": devices})


def present(whose: CardSource, source: Devices, *, command: str, as_json: bool, quiet: bool = False) -> Seen:
    """Every card and how it is; without one, why and the end, unless there is something else to show (`quiet`)."""
    seen = look(source)
    if not seen:
        whose.explain(source, command=command)
        if not quiet:
            raise typer.Exit(NO_CARDS)
    elif not as_json and (remark := whose.remark()):
        say(remark)
    return seen


def name_of(device: Device) -> str:
    """What `--card` takes, as short as it goes."""
    return f"gpu{device.index}" if device.index >= 0 else device.pci or device.id


def chosen(seen: Seen, names: Sequence[str]) -> Seen:
    """The cards of these names, each once. Raises UsageError for a name of none, or of two."""
    picked: dict[str, tuple[Device, Reading]] = {}
    for name in names:
        found = [one for one in seen if name in (name_of(one[0]), one[0].pci, one[0].uuid, one[0].id)]
        if not found:
            known = ", ".join(name_of(device) for device, _ in seen)
            raise UsageError(f"--card {one_line(name)}: there is no such card.", hint=f"There are {known}.")
        if len(found) > 1:
            told = ", ".join(device.pci for device, _ in found)
            raise UsageError(f"--card {name}: two makers number a card so.", hint=f"Give a PCI address: {told}.")
        picked[found[0][0].id] = found[0]
    return list(picked.values())


def print_power(seen: Seen, *, as_json: bool) -> None:
    """One line, or one object, a card."""
    cards = [CardPower(device, reading, writable(device)) for device, reading in seen]
    if as_json:
        for card in cards:
            print_json(as_object(card))
    elif cards:
        out().print(power_table(cards))


def as_object(card: CardPower) -> dict[str, Any]:
    """For a program; what is not known is null."""
    reading = card.reading
    return {
        "card": card.name,
        "id": card.device.id,
        "vendor": card.device.vendor,
        "name": card.device.name,
        "pci": card.device.pci,
        "state": reading.state,
        "power_w": reading.power_w,
        "cap_w": reading.cap_w,
        "cap_min_w": reading.cap_min_w,
        "cap_max_w": reading.cap_max_w,
        "cap_default_w": reading.cap_default_w,
        "cap_writable": card.writable,
    }


def power_table(cards: Sequence[CardPower]) -> Table:
    """A card a row, and what all of them draw and may draw; unknown watts make an unknown sum."""
    table = Table(box=box.SIMPLE, padding=(0, 1, 0, 0), pad_edge=False, show_footer=len(cards) > 1)
    drawn, capped = (total(cards, what) for what in ("power_w", "cap_w"))
    feet = ("all", "", drawn, capped, "", "", "")
    headings = ("Card", "", "Power W", "Cap W", "Limits W", "Default W", "May write")
    for heading, foot in zip(headings, feet, strict=True):
        right = heading.endswith(" W")
        table.add_column(plain(heading), plain(foot), justify="right" if right else "left", overflow="fold")
    for card in cards:
        table.add_row(*(plain(one_line(cell)) for cell in cells(card)))
    return table


def cells(card: CardPower) -> tuple[str, ...]:
    """One card's."""
    reading = card.reading
    limits = (whole(reading.cap_min_w), whole(reading.cap_max_w))
    return (
        card.name,
        card.device.name if reading.state == "ok" else f"{card.device.name} ({reading.state})",
        whole(reading.power_w),
        whole(reading.cap_w),
        UNKNOWN if limits == (UNKNOWN, UNKNOWN) else f"{limits[0]} to {limits[1]}",
        whole(reading.cap_default_w),
        HOW[card.writable],
    )


def total(cards: Sequence[CardPower], what: str) -> str:
    """A sum over the cards."""
    watts = [getattr(card.reading, what) for card in cards]
    return UNKNOWN if None in watts else whole(sum(watts))
