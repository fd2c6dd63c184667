"""The facts of a machine's cards that a diagnosis goes by. They are gathered elsewhere."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from viiwork.devices.access import DeviceFile
from viiwork.devices.base import Device, Reading
from viiwork.devices.holders import Holder
from viiwork.doctor.finding import GIB

NO_KFD = DeviceFile("/dev/kfd", there=False, openable=False)


@dataclass(frozen=True, slots=True)
class CardFacts:
    """One card."""

    device: Device
    reading: Reading
    strangers: tuple[Holder, ...] = ()
    """Processes that hold its memory and are no engines of this fleet."""
    ours_bytes: int = 0
    """What this fleet's own engines hold of it."""
    iommu: str = ""
    """`identity` or how its addresses are translated; empty where the kernel does not tell."""

    @property
    def name(self) -> str:
        """`gpu2`; of a card that this user may not open, its address."""
        return f"gpu{self.device.index}" if self.device.index >= 0 else self.device.pci or self.device.id


def kinds(cards: Iterable[CardFacts]) -> str:
    """`4 Radeon VII (gfx906, 16 GiB)`, for each kind of card."""
    counted = Counter(
        f"{card.device.name} ({card.device.arch or card.device.vendor}, {round(card.device.vram_bytes / GIB)} GiB)"
        for card in cards
    )
    return ", ".join(f"{count} {kind}" for kind, count in counted.items())


@dataclass(frozen=True, slots=True)
class CardsFacts:
    """All cards, and the system around them."""

    engine: str = ""
    args: tuple[str, ...] = ()
    gpus: int = 0
    """Engine workers that are named after cards."""
    wanted: int = 0
    """Cards that their engines need: none, for engines that are built in."""
    wants_amd: bool = False
    """Whether they are pinned as ROCm pins."""
    open: int = 0
    """Cards that such an engine could open."""
    running: bool = False
    """Whether engines of this fleet run now."""
    simulated: bool = False
    """Whether the fleet goes by simulated cards, and these are none of its business."""
    cards: tuple[CardFacts, ...] = ()
    why_none: str = ""
    on_bus: int = 0
    """AMD's, whoever drives them."""
    driver: bool = False
    kfd: DeviceFile = NO_KFD
    nodes: tuple[DeviceFile, ...] = ()
    """The cards' render nodes."""
    user: str = ""
    iommu_on: bool = False
    boot_words: tuple[str, ...] = ()
    rocm: str = ""
    gfx_override: str = ""
    """HSA_OVERRIDE_GFX_VERSION."""

    @property
    def amd(self) -> bool:
        """Whether there is any card of AMD's."""
        return self.on_bus > 0 or any(card.device.vendor == "amd" for card in self.cards)

    @property
    def gfx906(self) -> bool:
        """Whether a Radeon VII or MI50 is among them."""
        return any(card.device.arch == "gfx906" for card in self.cards)
