"""AMD's cards by the kernel's KFD topology, in the order in which ROCm numbers them. No ROCm library is needed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace

from viiwork.devices.amd_names import arch_of, name_of
from viiwork.devices.amd_sysfs import read_card
from viiwork.devices.base import Device, Reading
from viiwork.devices.host import Host

KFD = "/dev/kfd"
NODES = "/sys/class/kfd/kfd/topology/nodes"
PCI = "/sys/bus/pci/devices"
VRAM_HEAPS = (1, 2)
"""Heap types of a KFD memory bank that are the card's own memory: open to the CPU, and not."""


@dataclass(frozen=True, slots=True)
class Node:
    """One card of the topology, as its `properties` have it."""

    number: int
    facts: dict[str, int]

    @property
    def pci(self) -> str:
        """`0000:03:00.0`; KFD packs bus, device and function into one number (its upper half is a partition's)."""
        at = self.facts.get("location_id", 0)
        domain = self.facts.get("domain", 0)
        return f"{domain:04x}:{at >> 8 & 0xFF:02x}:{at >> 3 & 0x1F:02x}.{at & 7:x}"

    @property
    def uuid(self) -> str:
        """As `ROCR_VISIBLE_DEVICES` takes it; empty for a card whose `unique_id` is 0."""
        unique = self.facts.get("unique_id", 0)
        return f"GPU-{unique:016x}" if unique else ""


class AmdDevices:
    """Every card of AMD's that this machine has, those that this process may not open too."""

    def __init__(self, host: Host | None = None) -> None:
        self._host = host or Host()

    def found(self) -> tuple[Device, ...]:
        """Cards in the order of their KFD nodes, which is ROCm's."""
        devices = [self._device(node) for node in topology(self._host)]
        return tuple(numbered(known_apart(devices)))

    def read(self, device: Device) -> Reading:
        """How it is, by its files in sysfs."""
        return read_card(self._host, f"{PCI}/{device.pci}")

    def why_none(self) -> str:
        """The kernel driver, or what this container was not given."""
        if self.found():
            return ""
        if not self._host.exists(KFD):
            return "AMD: there is no /dev/kfd, so the amdgpu driver is not loaded or this container was not given it."
        return f"AMD: /dev/kfd is there, but {NODES} lists no card that this process may see."

    def _device(self, node: Node) -> Device:
        facts, pci = node.facts, node.pci
        arch = arch_of(facts.get("gfx_target_version", 0))
        vram_bytes = self._vram_bytes(node)
        minor = facts.get("drm_render_minor", 0)
        usable = self._host.openable(KFD) and minor > 0 and self._host.openable(f"/dev/dri/renderD{minor}")
        return Device(
            id=node.uuid or pci,
            vendor="amd",
            index=-1,
            name=name_of(facts.get("device_id", 0), arch=arch, vram_bytes=vram_bytes),
            arch=arch,
            vram_bytes=vram_bytes,
            uuid=node.uuid,
            pci=pci,
            kfd_node=node.number,
            render_minor=minor if minor > 0 else None,
            openable=usable,
        )

    def _vram_bytes(self, node: Node) -> int:
        """What the driver says, else what KFD does: a container may show one and not the other."""
        total = _number(self._host, f"{PCI}/{node.pci}/mem_info_vram_total")
        if total:
            return total
        banks = f"{NODES}/{node.number}/mem_banks"
        sizes = [properties(self._host, f"{banks}/{name}/properties") for name in self._host.names(banks)]
        return sum(bank.get("size_in_bytes", 0) for bank in sizes if bank.get("heap_type") in VRAM_HEAPS)


def topology(host: Host) -> list[Node]:
    """Nodes that compute, by number. Of cards that a container may not use they refuse to be read: ROCm skips them."""
    numbers = sorted(int(name) for name in host.names(NODES) if name.isdigit())
    nodes = [Node(number, properties(host, f"{NODES}/{number}/properties")) for number in numbers]
    return [node for node in nodes if node.facts.get("simd_count", 0) > 0]


def properties(host: Host, name: str) -> dict[str, int]:
    """A file of one name and number a line; nothing if it cannot be read."""
    try:
        lines = host.text(name).splitlines()
    except OSError:
        return {}
    pairs = (line.split() for line in lines)
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and pair[1].isdigit()}


def known_apart(devices: Iterable[Device]) -> list[Device]:
    """Cards of which two say the same UUID go by their PCI addresses: pinning by it would take the wrong one."""
    listed = list(devices)
    said = Counter(device.uuid for device in listed)
    return [replace(one, id=one.pci, uuid="") if said[one.uuid] > 1 else one for one in listed]


def numbered(devices: Iterable[Device]) -> list[Device]:
    """Cards with their rank among those that can be opened."""
    rank = 0
    found = []
    for device in devices:
        found.append(replace(device, index=rank) if device.openable else device)
        rank += device.openable
    return found


def _number(host: Host, name: str) -> int:
    try:
        return int(host.text(name))
    except (OSError, ValueError):
        return 0
