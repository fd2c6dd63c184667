"""Which processes hold memory of AMD's cards, as far as the kernel shows them to this user.

Two places tell: KFD's own list, which has what computes and numbers processes as the host does, and `fdinfo` of every
open render node, which is shown of one's own processes (of all, to root). Neither is there on every kernel.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from viiwork.devices.amd import NODES
from viiwork.devices.base import Device
from viiwork.devices.host import Host

KFD_PROCESSES = "/sys/class/kfd/kfd/proc"
PROCESSES = "/proc"
RENDER = "/dev/dri/"
SIZE = re.compile(r"(\d+)\s*(KiB|MiB)?")
UNITS = {None: 1, "KiB": 1024, "MiB": 1024**2}
VRAM_LINES = ("drm-memory-vram", "drm-resident-vram", "drm-total-vram")
"""The first that is there counts: kernels call it differently."""


@dataclass(frozen=True, slots=True)
class Holder:
    """A process, and how much of one card's memory it holds."""

    pid: int
    name: str
    """The kernel's short name of it; empty for one that cannot be seen from here."""
    vram_bytes: int


def vram_holders(host: Host, devices: Iterable[Device]) -> dict[str, tuple[Holder, ...]]:
    """By the card's id, the largest first; cards that nobody is known to hold are left out."""
    cards = [device for device in devices if device.vendor == "amd"]
    held: dict[tuple[str, int], int] = {}
    for card, pid, size in (*_by_kfd(host, cards), *_by_files(host, cards)):
        held[card, pid] = max(size, held.get((card, pid), 0))  # both tell of the same memory
    found: dict[str, list[Holder]] = {}
    for (card, pid), size in sorted(held.items(), key=lambda item: -item[1]):
        if size:
            found.setdefault(card, []).append(Holder(pid, _text(host, f"{PROCESSES}/{pid}/comm"), size))
    return {card: tuple(holders) for card, holders in found.items()}


def _by_kfd(host: Host, cards: list[Device]) -> Iterator[tuple[str, int, int]]:
    numbers = {card.id: _text(host, f"{NODES}/{card.kfd_node}/gpu_id") for card in cards}
    for pid in _pids(host, KFD_PROCESSES):
        for card, number in numbers.items():
            size = _text(host, f"{KFD_PROCESSES}/{pid}/vram_{number}") if number else ""
            if size.isdigit():
                yield card, pid, int(size)


def _by_files(host: Host, cards: list[Device]) -> Iterator[tuple[str, int, int]]:
    by_pci = {card.pci: card.id for card in cards}
    for pid in _pids(host, PROCESSES) if by_pci else ():
        clients = {(told["drm-pdev"], told.get("drm-client-id", "")): told for told in _told(host, pid)}
        for pci, card in by_pci.items():
            yield card, pid, sum(vram_of(told) for (at, _), told in clients.items() if at == pci)


def _told(host: Host, pid: int) -> Iterator[dict[str, str]]:
    """What each of its render nodes says; several files of one client say the same."""
    folder = f"{PROCESSES}/{pid}"
    for number in host.names(f"{folder}/fd"):
        try:
            target = str(host.path(f"{folder}/fd/{number}").readlink())
        except OSError:
            continue
        if target.startswith(RENDER):
            told = pairs(_text(host, f"{folder}/fdinfo/{number}"))
            if "drm-pdev" in told:
                yield told


def pairs(text: str) -> dict[str, str]:
    """`name: value` a line."""
    split = (line.partition(":") for line in text.splitlines())
    return {name.strip(): value.strip() for name, colon, value in split if colon}


def vram_of(told: dict[str, str]) -> int:
    """Bytes of the card's memory, by one client's `fdinfo`."""
    said = next((told[line] for line in VRAM_LINES if line in told), "")
    found = SIZE.fullmatch(said)
    return int(found[1]) * UNITS[found[2]] if found else 0


def _pids(host: Host, folder: str) -> list[int]:
    return [int(name) for name in host.names(folder) if name.isdigit()]


def _text(host: Host, name: str) -> str:
    try:
        return host.text(name)
    except OSError:
        return ""
