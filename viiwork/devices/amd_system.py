"""What a system says of itself that AMD's cards depend on: the driver, the bus, the IOMMU, an installed ROCm."""

from __future__ import annotations

from viiwork.devices.amd import PCI
from viiwork.devices.host import Host

DRIVER = "/sys/module/amdgpu"
IOMMUS = "/sys/class/iommu"
BOOT = "/proc/cmdline"
ROCM = "/opt/rocm/.info/version"
VENDOR = "0x1002"
CLASSES = ("0x03", "0x12")
"""Display controllers, and processing accelerators."""


def driver_loaded(host: Host) -> bool:
    """Whether the kernel has amdgpu, as a module or built in."""
    return host.exists(DRIVER)


def on_bus(host: Host) -> int:
    """How many of AMD's cards there are, whoever drives them; a processor's own graphics count."""
    folders = [f"{PCI}/{name}" for name in host.names(PCI)]
    return sum(
        line(host, f"{folder}/vendor") == VENDOR and line(host, f"{folder}/class").startswith(CLASSES)
        for folder in folders
    )


def iommu_on(host: Host) -> bool:
    """Whether the kernel uses one."""
    return bool(host.names(IOMMUS))


def iommu_of(host: Host, pci: str) -> str:
    """How it treats this card: `identity` passes its addresses on, `DMA` and `DMA-FQ` translate; empty if not told."""
    return line(host, f"{PCI}/{pci}/iommu_group/type")


def boot_words(host: Host) -> tuple[str, ...]:
    """The kernel's command line."""
    return tuple(line(host, BOOT).split())


def rocm_version(host: Host) -> str:
    """`6.3.3-74`; empty where no ROCm is installed."""
    return line(host, ROCM)


def line(host: Host, name: str) -> str:
    """A file's first line; empty where there is none."""
    try:
        return next(iter(host.text(name).splitlines()), "")
    except OSError:
        return ""
