"""The processor as a device."""

from __future__ import annotations

from pathlib import Path

from tests.fakes.cards import write
from viiwork.devices import Reading, Temperature, open_devices
from viiwork.devices.cpu import CpuDevices
from viiwork.devices.host import Host

KIB = 1024


def test_memory_load_and_warmth_are_the_kernels(tmp_path: Path) -> None:
    """The load is that since the last look."""
    write(tmp_path, "proc/meminfo", "MemTotal:       1000 kB\nMemAvailable:    400 kB\nHugePages_Total:  0")
    write(tmp_path, "proc/cpuinfo", "processor\t: 0\nmodel name\t: A Processor\n")
    write(tmp_path, "proc/stat", "cpu  60 0 0 40 0 0 0 0 0 0\ncpu0 1 2 3 4")
    for number, (driver, warmth) in enumerate({"nvme": 90_000, "k10temp": 61_500}.items()):
        write(tmp_path, f"sys/class/hwmon/hwmon{number}/name", driver)
        write(tmp_path, f"sys/class/hwmon/hwmon{number}/temp1_input", str(warmth))
    devices = CpuDevices(Host(tmp_path))
    (device,) = devices.found()
    assert (device.id, device.vendor, device.name, device.vram_bytes) == ("cpu0", "cpu", "A Processor", 1000 * KIB)
    sensors = (Temperature("package", 61.5),)
    assert devices.read(device) == Reading("ok", 600 * KIB, 60.0, sensors)
    write(tmp_path, "proc/stat", "cpu  70 0 0 70 0 0 0 0 0 0")
    assert devices.read(device).busy_percent == 25.0
    assert devices.read(device).busy_percent is None


def test_a_machine_that_tells_nothing_has_a_processor_all_the_same(tmp_path: Path) -> None:
    """Of which nothing is known, not zero."""
    devices = CpuDevices(Host(tmp_path))
    (device,) = devices.found()
    assert (device.name, device.vram_bytes, devices.read(device)) == ("CPU", 0, Reading("ok"))


def test_this_machine_has_one() -> None:
    devices = open_devices("cpu", state_dir=Path("/nowhere"))
    (device,) = devices.found()
    reading = devices.read(device)
    assert reading.vram_used_bytes is not None
    assert 0 < reading.vram_used_bytes < device.vram_bytes
    assert devices.why_none() == ""
