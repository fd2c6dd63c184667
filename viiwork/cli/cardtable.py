"""A table of cards. What a card does not tell is a dash, never a 0."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from viiwork.cli.screen import one_line, plain
from viiwork.devices import Device, Link, Reading, Temperature

GIB = 1024**3
UNKNOWN = "-"
NEAR_CELSIUS = 10.0
"""So near to its limit a temperature is shown in yellow."""


def card_table(seen: Sequence[tuple[Device, Reading]]) -> Table:
    """One line a card, with a column for each sensor that any of them has."""
    labels = list(dict.fromkeys(one.label for _, reading in seen for one in reading.temperatures))
    table = Table()
    table.add_column("#", justify="right", no_wrap=True)
    table.add_column("Card", overflow="fold")
    table.add_column("Arch", no_wrap=True)
    heat = [f"{one_line(label)}\n°C/limit" for label in labels]
    for heading in ("VRAM\nGiB", "Busy", *heat, "Power/cap\nW", "Core\nMHz", "Memory\nMHz", "Link"):
        table.add_column(plain(heading), justify="right", no_wrap=True)
    table.add_column("State", overflow="fold")
    for device, reading in seen:
        table.add_row(*cells(device, reading, labels))
    return table


def cells(device: Device, reading: Reading, labels: Sequence[str]) -> tuple[Text, ...]:
    """What the table has of one card."""
    sensors = {one.label: one for one in reading.temperatures}
    return (
        plain(str(device.index) if device.openable else UNKNOWN),
        plain(one_line(device.name)),
        plain(one_line(device.arch)),
        plain(vram_of(device, reading)),
        plain(UNKNOWN if reading.busy_percent is None else f"{reading.busy_percent:.0f} %"),
        *(heat_of(sensors.get(label)) for label in labels),
        plain(f"{whole(reading.power_w)}/{whole(reading.cap_w)}"),
        plain(whole(reading.core_mhz)),
        plain(whole(reading.memory_mhz)),
        plain(link_of(reading.link)),
        state_of(device, reading),
    )


def whole(value: float | None) -> str:
    """A number without its fraction."""
    return UNKNOWN if value is None else f"{value:.0f}"


def vram_of(device: Device, reading: Reading) -> str:
    """Used and all."""
    used = UNKNOWN if reading.vram_used_bytes is None else f"{reading.vram_used_bytes / GIB:.1f}"
    return f"{used} /{device.vram_bytes / GIB:.1f}" if device.vram_bytes else f"{used}/{UNKNOWN}"


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
    """`x16 8.0 GT/s`."""
    if link is None or link.width is None:
        return UNKNOWN
    return f"x{link.width}" if link.gts is None else f"x{link.width} {link.gts:g} GT/s"


def state_of(device: Device, reading: Reading) -> Text:
    """`ok`, or what is wrong."""
    if reading.state != "ok":
        return plain(reading.state, "bold red")
    return plain("ok", "green") if device.openable else plain("may not be opened here", "yellow")
