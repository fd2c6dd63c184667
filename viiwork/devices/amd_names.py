"""What AMD's cards are called, by what the kernel knows of them. Pure data.

PCI ids after libdrm's `amdgpu.ids` and the amdgpu driver's own table; two cards may share one id.
"""

from __future__ import annotations

GIB = 1024**3
NAMES = {
    0x66A0: "Instinct MI50",
    0x66A1: "Instinct MI50",  # also sold as MI60, and as Radeon Pro VII
    0x66A3: "Radeon Pro Vega II",
    0x66AF: "Radeon VII",
    0x687F: "Radeon RX Vega",
    0x6860: "Instinct MI25",
    0x7388: "Instinct MI100",
    0x738C: "Instinct MI100",
    0x7408: "Instinct MI250X",
    0x740C: "Instinct MI250X",
    0x740F: "Instinct MI210",
    0x74A0: "Instinct MI300A",
    0x74A1: "Instinct MI300X",
    0x74A2: "Instinct MI308X",
    0x74A5: "Instinct MI325X",
}
SIZED = frozenset({0x66A0, 0x66A1})
"""Sold with 16 and with 32 GB under one id."""


def arch_of(gfx_target_version: int) -> str:
    """`gfx906` of 90006, `gfx90a` of 90010, `gfx942` of 90402: decimal places, printed in hexadecimal."""
    if gfx_target_version <= 0:
        return ""
    major, rest = divmod(gfx_target_version, 10_000)
    minor, step = divmod(rest, 100)
    return f"gfx{major}{minor:x}{step:x}"


def name_of(device_id: int, *, arch: str, vram_bytes: int) -> str:
    """What is printed on the box, or at least whose it is and what it computes like."""
    name = NAMES.get(device_id)
    if name is None:
        return f"AMD {arch}".strip()
    if device_id in SIZED and vram_bytes:
        return f"{name} {round(vram_bytes / GIB)}GB"
    return name
