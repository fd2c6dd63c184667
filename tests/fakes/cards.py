"""Trees of `/sys` and `/dev` as the kernel makes them for AMD's cards, written into a directory.

The layout is the amdgpu and KFD drivers'; figures are after published readings. `refusing` stands for a driver that
starts again: the super-user, as whom tests may run, is refused nothing by the mode of a file.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from viiwork.devices.host import Host

GIB = 1024**3
MILLI, MICRO = 1000, 1_000_000
RADEON_VII_BYTES = 17_163_091_968
NODES = "sys/class/kfd/kfd/topology/nodes"


@dataclass(frozen=True, slots=True)
class FakeCard:
    """One node of the topology, a Radeon VII unless it is told otherwise."""

    bus: int
    """Of its PCI address, in the order of which KFD numbers cards."""
    minor: int
    """Of its render node."""
    unique_id: int
    drm: int = 0
    """Of `/dev/dri/card0`, which a display adapter without a KFD node may have taken first."""
    device_id: int = 0x66AF
    version: int = 90006
    vram_bytes: int = RADEON_VII_BYTES
    cap_w: int = 250
    cap_min: str = "0"
    """As the file has it, in microwatts; some drivers write an empty line."""
    sensors: bool = True
    fan: bool = True
    domain: int = 0
    slot_lanes: int = 16

    @property
    def pci(self) -> str:
        return f"{self.domain:04x}:{self.bus:02x}:00.0"

    @property
    def uuid(self) -> str:
        return f"GPU-{self.unique_id:016x}"


def radeon_vii(number: int, **changes: object) -> FakeCard:
    """The Radeon VII of this number in a machine, behind bridges of its own."""
    facts: dict[str, object] = {
        "bus": 3 + 3 * number,
        "minor": 128 + number,
        "unique_id": 0x2160_0000_0000_0000 + number,
    }
    return FakeCard(**{**facts, "drm": number, **changes})  # type: ignore[arg-type] # a dict of many types


def mi50_32gb(number: int) -> FakeCard:
    """As sold second hand: no fan of its own."""
    return radeon_vii(number, device_id=0x66A1, vram_bytes=32 * GIB, cap_w=225, fan=False)


def mi250x(number: int) -> tuple[FakeCard, FakeCard]:
    """One card, which is two devices."""
    facts = {"device_id": 0x7408, "version": 90010, "vram_bytes": 64 * GIB, "cap_w": 500, "fan": False}
    return radeon_vii(number, **facts), radeon_vii(number + 1, **facts)


def write_tree(root: Path, cards: Iterable[FakeCard], *, closed: Iterable[FakeCard] = ()) -> Path:
    """A machine of one processor and these cards; the render nodes of `closed` ones are not in the container."""
    shut = set(closed)
    write(root, "dev/kfd", "")
    write(root, f"{NODES}/0/properties", lines({"cpu_cores_count": 16, "simd_count": 0, "drm_render_minor": 0}))
    for number, card in enumerate(cards, start=1):
        write_node(root, number, card)
        write_device(root, card)
        if card not in shut:
            write(root, f"dev/dri/renderD{card.minor}", "")
    return root


def write_node(root: Path, number: int, card: FakeCard) -> None:
    """What KFD knows of it: numbers in decimal, also the UUID."""
    facts = {
        "cpu_cores_count": 0,
        "simd_count": 240,
        "vendor_id": 0x1002,
        "device_id": card.device_id,
        "location_id": card.bus << 8,
        "domain": card.domain,
        "drm_render_minor": card.minor,
        "gfx_target_version": card.version,
        "unique_id": card.unique_id,
    }
    write(root, f"{NODES}/{number}/properties", lines(facts))
    bank = {"heap_type": 1, "size_in_bytes": card.vram_bytes, "width": 4096}
    write(root, f"{NODES}/{number}/mem_banks/0/properties", lines(bank))


def write_device(root: Path, card: FakeCard) -> None:
    """Its directory, below its slot and the two bridges of the switch on the card, and the links that lead to it."""
    slot = f"sys/devices/pci{card.domain:04x}:00/{card.domain:04x}:00:{card.bus >> 3:02x}.{card.bus & 7}"
    up = f"{slot}/{card.domain:04x}:{card.bus - 2:02x}:00.0"
    down = f"{up}/{card.domain:04x}:{card.bus - 1:02x}:00.0"
    folder = f"{down}/{card.pci}"
    write_link(root, up, lanes=card.slot_lanes)
    for inside in (down, folder):
        write_link(root, inside, lanes=16)
    files = {
        "mem_info_vram_total": card.vram_bytes,
        "mem_info_vram_used": 14 * GIB,
        "gpu_busy_percent": 97,
        "mem_busy_percent": 61,
        "unique_id": f"{card.unique_id:016x}",
        "pp_dpm_sclk": "0: 808Mhz\n1: 1373Mhz\n2: 1801Mhz *",
        "pp_dpm_mclk": "0: 351Mhz\n1: 801Mhz\n2: 1001Mhz *",
        "pcie_bw": "0 0 256",
    }
    for name, content in files.items():
        write(root, f"{folder}/{name}", str(content))
    write_sensors(root, folder, card)
    point(root / "sys/bus/pci/devices" / card.pci, root / folder)
    point(root / "sys/class/drm" / f"card{card.drm}" / "device", root / folder)


def write_sensors(root: Path, folder: str, card: FakeCard) -> None:
    """The driver's own hwmon, beside one of another driver that must not be taken for it."""
    write(root, f"{folder}/hwmon/hwmon1/name", "nvme")
    write(root, f"{folder}/hwmon/hwmon1/temp1_input", "99000")
    if not card.sensors:
        return
    own = f"{folder}/hwmon/hwmon{card.minor - 124}"
    facts: dict[str, object] = {"name": "amdgpu", "power1_average": 231 * MICRO, "power1_cap": card.cap_w * MICRO}
    facts |= {"power1_cap_min": card.cap_min, "power1_cap_max": 300 * MICRO, "power1_cap_default": 250 * MICRO}
    for number, (label, now, most, off) in enumerate(
        (("edge", 71, 100, 105), ("junction", 93, 105, 110), ("mem", 80, 94, 99)), start=1
    ):
        sensor = {"label": label, "input": now * MILLI, "crit": most * MILLI, "emergency": off * MILLI}
        facts |= {f"temp{number}_{what}": value for what, value in sensor.items()}
    if card.fan:
        facts |= {"fan1_input": 2904, "pwm1": 180}
    for name, content in facts.items():
        write(root, f"{own}/{name}", str(content))


def write_link(root: Path, folder: str, *, lanes: int) -> None:
    """A link of PCIe 3."""
    for name, content in {"speed": "8.0 GT/s PCIe", "width": lanes}.items():
        write(root, f"{folder}/current_link_{name}", str(content))
    write(root, f"{folder}/max_link_speed", "8.0 GT/s PCIe")
    write(root, f"{folder}/max_link_width", "16")


def device_folder(root: Path, card: FakeCard) -> Path:
    """Where its files really lie."""
    return (root / "sys/bus/pci/devices" / card.pci).resolve()


def write(root: Path, name: str, content: str) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{content}\n")


def point(link: Path, target: Path) -> None:
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(target)


def lines(facts: Mapping[str, int]) -> str:
    return "\n".join(f"{name} {value}" for name, value in facts.items())


class RefusingHost(Host):
    """A kernel that answers some files with an error, by the end of their names, and remembers what was read."""

    def __init__(self, root: Path, answers: Mapping[str, int] | None = None) -> None:
        super().__init__(root)
        self.answers = answers or {}
        self.asked: list[str] = []

    def text(self, name: str) -> str:
        self.asked.append(name)
        for end, errno in self.answers.items():
            if name.endswith(end):
                raise OSError(errno, "refused")
        return super().text(name)
