"""A table of cards. What a card does not tell is a dash, never a 0."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.text import Text

from viiwork import cardwords
from viiwork.cardwords import UNKNOWN, whole
from viiwork.cli.fitting import Column, FittedTable
from viiwork.cli.screen import one_line, plain
from viiwork.devices import Device, Link, Reading, Temperature
from viiwork.roster import WorkerStatus

NOBODY: Mapping[str, WorkerStatus] = {}
NONE_DRAINED: Mapping[str, str] = {}
RANKS = {"edge": 3}
"""Of sensors that go on a narrow screen: the edge of a chip is cooler than its junction, always."""
NEAR_CELSIUS = 10.0
"""So near to its limit a temperature is shown in yellow."""


def card_table(
    seen: Sequence[tuple[Device, Reading]],
    *,
    holders: Mapping[str, WorkerStatus] = NOBODY,
    drains: Mapping[str, str] = NONE_DRAINED,
) -> FittedTable:
    """One line a card; warmth, power and memory stand before their limits.

    Every sensor that any card has gets a column. A narrow screen is spared first what seldom changes. `holders` are the
    workers that have them, by the cards' identities; `drains` says why cards are drained, by `gpu2`.
    """
    labels = list(dict.fromkeys(one.label for _, reading in seen for one in reading.temperatures))
    table = FittedTable(*columns_of(labels, held=bool(holders)))
    for device, reading in seen:
        holder = holders.get(device.id)
        cells = (*lively_cells(device, reading, labels), *steady_cells(device, reading))
        state = state_of(device, reading, holder, drained=drains.get(f"gpu{device.index}"))
        table.add_row(*cells, *(worker_cells(holder) if holders else ()), state)
    return table


def columns_of(labels: Sequence[str], *, held: bool) -> tuple[Column, ...]:
    """The ranks say what goes first: what never changes, then what another column tells in part."""
    return (
        Column("#", right=True),
        Column("Card", wraps=True),
        Column("VRAM\nGiB", right=True),
        Column("Busy", rank=1, right=True),
        *(Column(f"{one_line(label)}\n°C", rank=RANKS.get(label, 0), right=True) for label in labels),
        Column("Power\nW", right=True),
        Column("Clocks\nMHz", rank=4),
        Column("Link\nGT/s", rank=5),
        Column("Arch", rank=6),
        *((Column("Worker"), Column("Slots", rank=2)) if held else ()),
        Column("State", wraps=True),
    )


def lively_cells(device: Device, reading: Reading, labels: Sequence[str]) -> tuple[Text, ...]:
    """Which card it is, and what changes from look to look."""
    sensors = {one.label: one for one in reading.temperatures}
    return (
        plain(str(device.index) if device.openable else UNKNOWN),
        plain(one_line(device.name)),
        plain(vram_of(device, reading)),
        plain(UNKNOWN if reading.busy_percent is None else f"{reading.busy_percent:.0f} %"),
        *(heat_of(sensors.get(label)) for label in labels),
        plain(f"{whole(reading.power_w)}/{whole(reading.cap_w)}"),
    )


def steady_cells(device: Device, reading: Reading) -> tuple[Text, ...]:
    """What seldom changes."""
    clocks = f"{whole(reading.core_mhz)}/{whole(reading.memory_mhz)}"
    return plain(clocks), plain(link_of(reading.link)), plain(one_line(device.arch) or UNKNOWN)


def worker_cells(holder: WorkerStatus | None) -> tuple[Text, ...]:
    """Whose it is, and how busy that one is."""
    if holder is None:
        return plain(UNKNOWN), plain(UNKNOWN)
    return plain(one_line(holder.card.name.partition("@")[0])), plain(cardwords.slots(holder))


def vram_of(device: Device, reading: Reading) -> str:
    """Used and all."""
    return cardwords.memory(reading.vram_used_bytes, device.vram_bytes or None)


def heat_of(sensor: Temperature | None) -> Text:
    """Degrees beside the card's own limit; yellow near it, red from there."""
    if sensor is None:
        return plain(UNKNOWN)
    limit = sensor.critical_celsius
    if limit is None:
        return plain(whole(sensor.celsius))
    near = "yellow" if sensor.celsius >= limit - NEAR_CELSIUS else ""
    return plain(f"{whole(sensor.celsius)}/{whole(limit)}", "bold red" if sensor.celsius >= limit else near)


def link_of(link: Link | None) -> str:
    """`x16 8`: lanes, and gigatransfers a second on each."""
    if link is None or link.width is None:
        return UNKNOWN
    return f"x{link.width}" if link.gts is None else f"x{link.width} {link.gts:g}"


def state_of(
    device: Device, reading: Reading, holder: WorkerStatus | None = None, *, drained: str | None = None
) -> Text:
    """`ok`, or what is wrong with it, that a person has drained it and why, or what holds its worker back."""
    if reading.state != "ok":
        return plain(reading.state, "bold red")
    if drained is not None:
        return plain(f"drained: {one_line(drained)}" if drained else "drained", "yellow")
    if holder is not None and (brakes := cardwords.brakes(holder)):
        return plain(one_line("; ".join(brakes)), "yellow")
    return plain("ok", "green") if device.openable else plain("may not be opened here", "yellow")
