"""How one of AMD's cards is, by the files that amdgpu keeps in sysfs. `pcie_bw` is never read: it blocks a second."""

from __future__ import annotations

import errno
import re
from dataclasses import dataclass, field, replace
from itertools import takewhile
from pathlib import PurePosixPath

from viiwork.devices.base import Link, Reading, State, Temperature
from viiwork.devices.host import Host

DRIVER = "amdgpu"
NO_SENSORS = "hwmon/none"
"""No such folder: a card without sensors answers None to everything about them."""
ASLEEP = "suspended"
SENSORS = (1, 2, 3)
SEVERAL = 2
"""So many files must refuse before the card is said to be resetting or gone: one alone may do so for another reason."""
ADDRESS = re.compile(r"[0-9a-f]{4,}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]")
ACTIVE = re.compile(r"(\d+)\s*mhz\s*\*", re.IGNORECASE)
NUMBER = re.compile(r"\d+(?:\.\d+)?")
MILLI = 1e-3
MICRO = 1e-6


@dataclass(slots=True)
class Files:
    """The files of one card: what cannot be read is None, and why is counted."""

    host: Host
    folder: str
    refused: int = field(default=0, init=False)
    lost: int = field(default=0, init=False)

    def text(self, name: str) -> str:
        """A file's text, empty where there is none."""
        try:
            return self.host.text(f"{self.folder}/{name}")
        except OSError as error:
            self.refused += error.errno == errno.EPERM
            self.lost += error.errno in (errno.ENODEV, errno.ENXIO)
            return ""

    def number(self, name: str, scale: float = 1.0) -> float | None:
        """A file's number in our unit; None for an empty line, as `power1_cap_min` can be, and for anything odd."""
        try:
            return int(self.text(name)) * scale
        except ValueError:
            return None

    def whole(self, name: str) -> int | None:
        """A file's number as it stands."""
        found = self.number(name)
        return None if found is None else int(found)

    def sensors(self) -> str:
        """The folder of the driver's own sensors: its number changes from boot to boot, so it goes by its name."""
        folders = [f"hwmon/{name}" for name in self.host.names(f"{self.folder}/hwmon")]
        return next((folder for folder in folders if self.text(f"{folder}/name") == DRIVER), NO_SENSORS)


def read_card(host: Host, folder: str) -> Reading:
    """One look at a card whose device directory this is."""
    if not host.exists(folder):
        return Reading(state="gone")
    files = Files(host, folder)
    reading = sensed(files, files.sensors())
    asleep = files.text("power/runtime_status") == ASLEEP
    state = state_of(refused=files.refused, lost=files.lost, asleep=asleep)
    return Reading(state="gone") if state == "gone" else replace(reading, state=state)


def sensed(files: Files, sensors: str) -> Reading:
    """What its files say; of a driver that is starting again they say little."""
    power_w = files.number(f"{sensors}/power1_average", MICRO)
    return Reading(
        state="ok",
        vram_used_bytes=files.whole("mem_info_vram_used"),
        busy_percent=files.number("gpu_busy_percent"),
        temperatures=temperatures(files, sensors),
        power_w=files.number(f"{sensors}/power1_input", MICRO) if power_w is None else power_w,
        cap_w=files.number(f"{sensors}/power1_cap", MICRO),
        cap_min_w=files.number(f"{sensors}/power1_cap_min", MICRO),
        cap_max_w=files.number(f"{sensors}/power1_cap_max", MICRO),
        cap_default_w=files.number(f"{sensors}/power1_cap_default", MICRO),
        core_mhz=active_mhz(files.text("pp_dpm_sclk")),
        memory_mhz=active_mhz(files.text("pp_dpm_mclk")),
        fan_rpm=files.whole(f"{sensors}/fan1_input"),
        link=narrowest(files.host, files.folder),
    )


def temperatures(files: Files, sensors: str) -> tuple[Temperature, ...]:
    """The sensors that say something; a limit of 0 or less is none."""
    found = []
    for number in SENSORS:
        sensor = f"{sensors}/temp{number}"
        celsius = files.number(f"{sensor}_input", MILLI)
        if celsius is not None:
            label = files.text(f"{sensor}_label") or f"temp{number}"
            limits = (files.number(f"{sensor}_{limit}", MILLI) for limit in ("crit", "emergency"))
            found.append(Temperature(label, celsius, *(limit if limit and limit > 0 else None for limit in limits)))
    return tuple(found)


def state_of(*, refused: int, lost: int, asleep: bool = False) -> State:
    """From how many files answered EPERM, and how many that there is no such device. Pure.

    A card that was put to sleep answers EPERM too (`amdgpu_pm_get_access_if_active` in the driver), and is well.
    """
    if lost >= SEVERAL:
        return "gone"
    return "resetting" if refused >= SEVERAL and not asleep else "ok"


def active_mhz(table: str) -> int | None:
    """The clock that `*` marks in a `pp_dpm_*` file."""
    found = ACTIVE.search(table)
    return int(found[1]) if found else None


def narrowest(host: Host, folder: str) -> Link | None:
    """The slowest of the links between a card and the processor.

    Vega 20 carries a PCIe switch: its own directory tells of the link inside the card, 16 lanes whatever the riser is;
    the slot's is that of a bridge above it. (After the driver's sources; not seen on a card.)
    """
    found = [link for link in (link_of(host, hop) for hop in hops(host, folder)) if link is not None]
    return min(found, key=lambda link: (link.gts or 0) * (link.width or 0), default=None)


def hops(host: Host, folder: str) -> list[str]:
    """The card's directory and those of the bridges above it, as far as they are PCI devices."""
    real = PurePosixPath(host.real(folder))
    above = takewhile(lambda path: ADDRESS.fullmatch(path.name), real.parents)
    return [real.as_posix(), *(path.as_posix() for path in above)]


def link_of(host: Host, folder: str) -> Link | None:
    """The link above one PCI device; None for one that has none, or does not tell of it."""
    files = Files(host, folder)
    gts, width = (first_number(files.text(f"current_link_{what}")) for what in ("speed", "width"))
    if not gts or not width:
        return None
    max_gts, max_width = (first_number(files.text(f"max_link_{what}")) for what in ("speed", "width"))
    return Link(gts, int(width), max_gts, None if max_width is None else int(max_width))


def first_number(text: str) -> float | None:
    """8.0 of `8.0 GT/s PCIe`; None of `Unknown`."""
    found = NUMBER.match(text)
    return float(found[0]) if found else None
