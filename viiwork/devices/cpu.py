"""The processor as a device, for engines that run on it: memory, load and warmth by the kernel's files."""

from __future__ import annotations

import platform

from viiwork.devices.base import Device, Reading, Temperature
from viiwork.devices.host import Host

KIB = 1024
MILLI = 1e-3
HWMON = "/sys/class/hwmon"
DRIVERS = frozenset({"coretemp", "k10temp", "zenpower", "cpu_thermal"})
IDLE = (3, 4)
"""Columns of `/proc/stat`: idle, and waiting for a disk."""


class CpuDevices:
    """One device: all processors of this machine together. What its package draws, only the super-user may read."""

    def __init__(self, host: Host | None = None) -> None:
        self._host = host or Host()
        self._last = (0, 0)

    def found(self) -> tuple[Device, ...]:
        """It is always there."""
        total = self._memory().get("MemTotal", 0)
        return (Device("cpu0", "cpu", 0, self._name(), platform.machine(), total),)

    def read(self, device: Device) -> Reading:  # noqa: ARG002 - there is but one
        """Its load is that since the last look; of the first look, since the machine was started."""
        memory = self._memory()
        total, free = memory.get("MemTotal"), memory.get("MemAvailable")
        used = None if total is None or free is None else total - free
        return Reading(
            state="ok", vram_used_bytes=used, busy_percent=self._busy_percent(), temperatures=self._temperatures()
        )

    def why_none(self) -> str:
        """There is always one."""
        return ""

    def _busy_percent(self) -> float | None:
        line = self._text("/proc/stat").partition("\n")[0].split()
        ticks = [int(tick) for tick in line[1:9] if tick.isdigit()]
        if len(ticks) <= max(IDLE):
            return None
        now = (sum(ticks), sum(ticks[column] for column in IDLE))
        all_ticks, idle_ticks = (later - earlier for later, earlier in zip(now, self._last, strict=True))
        self._last = now
        return round(100.0 * (1 - idle_ticks / all_ticks), 1) if all_ticks > 0 else None

    def _temperatures(self) -> tuple[Temperature, ...]:
        """The first sensor of each driver: the package's."""
        folders = [f"{HWMON}/{name}" for name in self._host.names(HWMON)]
        found = []
        for folder in (folder for folder in folders if self._text(f"{folder}/name") in DRIVERS):
            celsius, limit = (self._celsius(f"{folder}/temp1_{what}") for what in ("input", "crit"))
            if celsius is not None:
                found.append(Temperature("package", celsius, limit))
        return tuple(found)

    def _celsius(self, name: str) -> float | None:
        try:
            return int(self._text(name)) * MILLI
        except ValueError:
            return None

    def _memory(self) -> dict[str, int]:
        pairs = (line.split() for line in self._text("/proc/meminfo").splitlines())
        return {pair[0].rstrip(":"): int(pair[1]) * KIB for pair in pairs if len(pair) > 1 and pair[1].isdigit()}

    def _name(self) -> str:
        for line in self._text("/proc/cpuinfo").splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name":
                return value.strip()
        return "CPU"

    def _text(self, name: str) -> str:
        try:
            return self._host.text(name)
        except OSError:
            return ""
