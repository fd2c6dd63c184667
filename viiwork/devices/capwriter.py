"""The one command that may run as root: it writes power caps of AMD's cards, and does nothing else.

    python -I -S capwriter.py 0000:03:00.0=180 0000:06:00.0=0

A cap is in whole watts; 0 restores the default. Only the standard library is used, and nothing is imported from beside
it, so that what runs as root can be read on one screen. Exit codes: 0 all written, 1 one was not, 2 wrong arguments.
"""

import os
import re
import sys
from pathlib import Path

PCI = "/sys/bus/pci/devices"
DRIVER = "amdgpu"
ORDER = re.compile(r"([0-9a-f]{4,8}:[0-9a-f]{2}:[01][0-9a-f]\.[0-7])=(0|[1-9][0-9]{0,3})")
MICRO = 1_000_000
USAGE = "usage: capwriter.py PCI-ADDRESS=WATTS …, such as 0000:03:00.0=180; 0 restores the default"


class CapRefused(Exception):
    """Raised when a cap was not written; the text says why. None of the project's errors: nothing is imported."""


def main(arguments: list[str]) -> int:
    """Check every argument before the first is carried out."""
    orders = [ORDER.fullmatch(argument) for argument in arguments]
    if not orders or None in orders:
        sys.stderr.write(f"{USAGE}\n")
        return 2
    return max([carried_out(order[1], int(order[2])) for order in orders if order])


def carried_out(pci: str, watts: int) -> int:
    """Write one, and say how it went."""
    try:
        cap_w = write_cap(pci, watts)
    except CapRefused as refusal:
        sys.stderr.write(f"{pci}: {refusal}\n")
        return 1
    sys.stdout.write(f"{pci}: {cap_w:g} W\n")
    return 0


def write_cap(pci: str, watts: int, *, root: Path = Path("/")) -> float:
    """Cap a card's power; 0 restores its default. Answers the watts that the driver then shows. Raises CapRefused."""
    folder = sensors_of(pci, root=root)
    if watts:
        check(watts, lowest=microwatts(folder / "power1_cap_min"), highest=microwatts(folder / "power1_cap_max"))
    # A driver that does not tell its default restores it when 0 is written.
    wanted = watts * MICRO or microwatts(folder / "power1_cap_default") or 0
    try:
        handle = os.open(folder / "power1_cap", os.O_WRONLY | os.O_TRUNC)  # never made where it is not there
        with os.fdopen(handle, "w", encoding="ascii") as file:
            file.write(f"{wanted}\n")
    except OSError as error:
        raise CapRefused(f"the cap cannot be written ({error.strerror}).") from error
    shown = microwatts(folder / "power1_cap")
    return (wanted if shown is None else shown) / MICRO


def check(watts: int, *, lowest: int | None, highest: int | None) -> None:
    """Within the card's own limits; some drivers tell no lowest one. Raises CapRefused."""
    if highest is None:
        raise CapRefused("its driver does not say what the highest cap is.")
    if not (lowest or 0) <= watts * MICRO <= highest:
        raise CapRefused(f"{watts} W is not within its limits, {(lowest or 0) / MICRO:g} to {highest / MICRO:g} W.")


def sensors_of(pci: str, *, root: Path) -> Path:
    """The folder of the driver's sensors. Raises CapRefused where there is none with a cap."""
    for folder in sorted((root / PCI.lstrip("/") / pci / "hwmon").glob("hwmon*")):
        if text(folder / "name") == DRIVER and (folder / "power1_cap").is_file():
            return folder
    raise CapRefused(f"{DRIVER} shows no card with a power cap there.")


def microwatts(path: Path) -> int | None:
    """A file's number; None for an empty line, which `power1_cap_min` can be."""
    found = text(path)
    return int(found) if found.isdigit() else None


def text(path: Path) -> str:
    """What a file says; empty where there is none."""
    try:
        return path.read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return ""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
