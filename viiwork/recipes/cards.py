"""Which cards a process on this host can open, as far as handing them out by number needs it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from viiwork.devices import Device
from viiwork.devices.amd import PCI, topology
from viiwork.devices.host import ROOT, Host

NUMBER = re.compile(r"gpu(\d+)")
NVIDIA_NODE = re.compile(r"nvidia\d+")
KFD = "dev/kfd"
AMD_PIN, CUDA_PIN = "ROCR_VISIBLE_DEVICES", "CUDA_VISIBLE_DEVICES"
CUDA_ORDER = {"CUDA_DEVICE_ORDER": "PCI_BUS_ID"}
"""Without it CUDA numbers the fastest card 0."""


@dataclass(frozen=True, slots=True)
class AmdCard:
    """One card of AMD's, in the order in which ROCm counts those that it can open."""

    minor: int
    """Of its render node: `/dev/dri/renderD128`."""
    openable: bool


def numbers(worker: str) -> tuple[int, ...]:
    """The cards of a worker: `gpu2` has card 2, `gpu0+gpu1` have 0 and 1, `cpu0` has none."""
    return tuple(int(number) for number in NUMBER.findall(worker))


def pin_value(worker: str, *, seen: int) -> str:
    """What the pin variable holds: `2`, `0,1`, or nothing at all, which shows the engine no card.

    Where a container shows as many cards as its worker has (`seen`), they count from 0 whatever the worker is called.
    """
    cards = numbers(worker)
    return ",".join(map(str, range(seen) if seen == len(cards) else cards))


def seen_cards(pin: str, *, root: Path = ROOT) -> int:
    """How many cards an engine that is pinned by this variable could open; 0 where that cannot be told."""
    if pin == AMD_PIN:
        return sum(card.openable for card in amd_cards(root))
    found = [path for path in _listed(root / "dev") if NVIDIA_NODE.fullmatch(path.name)]
    return len(found) or sum(card.openable for card in amd_cards(root))


def amd_cards(root: Path = ROOT) -> list[AmdCard]:
    """Cards of the KFD topology. In a container it lists all cards of the host, of which some cannot be opened."""
    host = Host(root)
    minors = [node.facts.get("drm_render_minor", -1) for node in topology(host)]
    return [AmdCard(minor=minor, openable=host.openable(f"/dev/dri/renderD{minor}")) for minor in minors]


def pins(pin: str, cards: Sequence[Device]) -> dict[str, str]:
    """The variables that show an engine these cards and no others, by UUID where that can be. Pure.

    A recipe for CUDA may be of a HIP build, which heeds CUDA_VISIBLE_DEVICES too, but takes numbers there alone: AMD's
    cards are hidden one layer below, and the one that is left is number 0.
    """
    amd = all(card.vendor == "amd" for card in cards)
    name = AMD_PIN if amd and pin == CUDA_PIN else pin
    by_uuid = name in (AMD_PIN, CUDA_PIN) and all(card.uuid for card in cards)
    value = ",".join(card.uuid if by_uuid else str(card.index) for card in cards)
    return {name: value} | (CUDA_ORDER if name == CUDA_PIN and not by_uuid else {})


def vram_used_file(worker: str, *, root: Path = ROOT) -> str:
    """Where the kernel says how much of its (first) card's memory is in use; empty where nobody tells."""
    cards = [card for card in amd_cards(root) if card.openable]
    wanted = numbers(worker)
    if not wanted or not cards:
        return ""
    index = 0 if len(cards) in (1, len(wanted)) else wanted[0]
    if index >= len(cards):
        return ""
    file = root / "sys/class/drm" / f"renderD{cards[index].minor}" / "device/mem_info_vram_used"
    return str(file) if file.is_file() else ""


def used_file_of(cards: Sequence[Device], *, root: Path = ROOT) -> str:
    """The same of the first of these cards."""
    file = root / PCI.lstrip("/") / cards[0].pci / "mem_info_vram_used"
    return str(file) if cards[0].pci and file.is_file() else ""


def _listed(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:
        return []
