"""Which cards a process on this host can open, as far as handing them out by number needs it."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

NUMBER = re.compile(r"gpu(\d+)")
NVIDIA_NODE = re.compile(r"nvidia\d+")
ROOT = Path("/")
KFD = "dev/kfd"
NODES = "sys/class/kfd/kfd/topology/nodes"
AMD_PIN = "ROCR_VISIBLE_DEVICES"


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

    Where a container shows a single card (`seen`), that card is number 0 whatever its worker is called.
    """
    cards = numbers(worker)
    return "0" if seen == 1 and len(cards) == 1 else ",".join(map(str, cards))


def seen_cards(pin: str, *, root: Path = ROOT) -> int:
    """How many cards an engine that is pinned by this variable could open; 0 where that cannot be told."""
    if pin == AMD_PIN:
        return sum(card.openable for card in amd_cards(root))
    found = [path for path in _listed(root / "dev") if NVIDIA_NODE.fullmatch(path.name)]
    return len(found) or sum(card.openable for card in amd_cards(root))


def amd_cards(root: Path = ROOT) -> list[AmdCard]:
    """Cards of the KFD topology. In a container it lists all cards of the host, of which some cannot be opened."""
    found = []
    for node in sorted(_listed(root / NODES), key=lambda path: int(path.name) if path.name.isdigit() else -1):
        facts = _properties(node)
        if facts.get("simd_count", 0) > 0:
            minor = facts.get("drm_render_minor", -1)
            device = root / "dev" / "dri" / f"renderD{minor}"
            found.append(AmdCard(minor=minor, openable=os.access(device, os.R_OK | os.W_OK)))
    return found


def vram_used_file(worker: str, *, root: Path = ROOT) -> str:
    """Where the kernel says how much of its (first) card's memory is in use; empty where nobody tells."""
    cards = [card for card in amd_cards(root) if card.openable]
    wanted = numbers(worker)[:1]
    if not wanted or not cards:
        return ""
    index = 0 if len(cards) == 1 else wanted[0]
    if index >= len(cards):
        return ""
    file = root / "sys/class/drm" / f"renderD{cards[index].minor}" / "device/mem_info_vram_used"
    return str(file) if file.is_file() else ""


def _properties(node: Path) -> dict[str, int]:
    try:
        lines = (node / "properties").read_text(encoding="ascii").splitlines()
    except (OSError, UnicodeDecodeError):  # of a node that this container may not see
        return {}
    pairs = (line.split() for line in lines)
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and pair[1].isdigit()}


def _listed(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:
        return []
