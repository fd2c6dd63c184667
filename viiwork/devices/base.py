"""The seam to the cards of a machine: who each is, and how it is at this moment. What is not known is None, never 0."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

Vendor = Literal["amd", "nvidia", "cpu", "simulated"]
State = Literal["ok", "resetting", "gone"]
"""`resetting`: its driver starts it again and refuses questions meanwhile. `gone`: it is no longer on the bus."""


@dataclass(frozen=True, slots=True)
class Device:
    """One card, as far as it does not change while it is there."""

    id: str
    """Its UUID, else its PCI address: what to know it by again, whatever else is renumbered."""
    vendor: Vendor
    index: int
    """ROCm's or CUDA's number of it, its rank among the cards that can be opened here; -1 where it cannot be.

    The worker of card 2 is called `gpu2`. The number of a card changes when one before it comes or goes."""
    name: str
    arch: str
    """`gfx906`, `sm_90`; empty where it is not known or has no meaning."""
    vram_bytes: int
    """All of its memory; 0 where nobody tells, so that nothing is placed there."""
    uuid: str = ""
    """What pins an engine to it; empty where it has none, and its index must do."""
    pci: str = ""
    """`0000:03:00.0`."""
    kfd_node: int | None = None
    render_minor: int | None = None
    """128 for `/dev/dri/renderD128`."""
    openable: bool = True
    """Whether this process may use it."""


@dataclass(frozen=True, slots=True)
class Temperature:
    """One sensor of a card, with the card's own limits in degrees Celsius."""

    label: str
    """`edge`, `junction`, `mem` of AMD's; `gpu`, `mem` of NVIDIA's."""
    celsius: float
    critical_celsius: float | None = None
    emergency_celsius: float | None = None


@dataclass(frozen=True, slots=True)
class Link:
    """How a card is connected at this moment. An idle card clocks its link down."""

    gts: float | None
    """Gigatransfers a second and lane: 8.0 is PCIe 3."""
    width: int | None
    """Lanes."""
    max_gts: float | None = None
    max_width: int | None = None


@dataclass(frozen=True, slots=True)
class Reading:
    """A card at one moment. Of one that is resetting there is what could still be read, of one that is gone nothing."""

    state: State
    vram_used_bytes: int | None = None
    busy_percent: float | None = None
    temperatures: tuple[Temperature, ...] = ()
    power_w: float | None = None
    cap_w: float | None = None
    cap_min_w: float | None = None
    cap_max_w: float | None = None
    cap_default_w: float | None = None
    core_mhz: int | None = None
    memory_mhz: int | None = None
    fan_rpm: int | None = None
    link: Link | None = None


class Devices(Protocol):
    """Where cards come from. No call raises on account of a card; a driver in trouble may hold one up for long."""

    def found(self) -> tuple[Device, ...]:
        """The cards that are there now, in their order; also those that this process may not open."""
        ...

    def read(self, device: Device) -> Reading:
        """How one of them is."""
        ...

    def why_none(self) -> str:
        """What was looked for and not found, a sentence for a person on each line; empty where cards are found."""
        ...
