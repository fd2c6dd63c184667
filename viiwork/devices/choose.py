"""The cards that a setting or an option names: `auto`, `none`, `cpu`, or simulated ones."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from viiwork.devices.amd import AmdDevices
from viiwork.devices.base import Device, Devices, Reading, Vendor
from viiwork.devices.cpu import CpuDevices
from viiwork.devices.host import ROOT, Host
from viiwork.devices.nvidia import NvidiaDevices
from viiwork.devices.simulated import SimulatedDevices
from viiwork.errors import UsageError

AUTO, AMD, NVIDIA, NONE, CPU, SIMULATED = "auto", "amd", "nvidia", "none", "cpu", "simulated:"
EXAMPLE = "simulated:4xRadeonVII"


class JoinedDevices:
    """The cards of several makers, one maker after the other; each numbers its own from 0."""

    def __init__(self, makers: Mapping[Vendor, Devices]) -> None:
        self._makers = makers

    def found(self) -> tuple[Device, ...]:
        """All of them."""
        return tuple(device for maker in self._makers.values() for device in maker.found())

    def read(self, device: Device) -> Reading:
        """By whoever it is of."""
        maker = self._makers.get(device.vendor)
        return Reading(state="gone") if maker is None else maker.read(device)

    def why_none(self) -> str:
        """What each maker has to say of it."""
        if not self._makers:
            return "No cards are wanted (none)."
        return "" if self.found() else "\n".join(maker.why_none() for maker in self._makers.values())


def open_devices(spec: str, *, state_dir: Path, root: Path = ROOT) -> Devices:
    """The cards of this machine (`auto`, or those of one maker: `amd`, `nvidia`), none (`none`), its processor (`cpu`),
    or such as `simulated:4xRadeonVII`.

    Raises UsageError for anything else. The state directory is where simulated cards are kept.
    """
    host = Host(root)
    if spec == AUTO:
        return JoinedDevices({"amd": AmdDevices(host), "nvidia": NvidiaDevices(host)})
    if spec == AMD:
        return AmdDevices(host)
    if spec == NVIDIA:
        return NvidiaDevices(host)
    if spec == NONE:
        return JoinedDevices({})
    if spec == CPU:
        return CpuDevices(host)
    if spec.startswith(SIMULATED):
        return SimulatedDevices(spec.removeprefix(SIMULATED), state_dir)
    raise UsageError(
        f"{spec}: there are no such devices.",
        hint=f"Choose auto, amd, nvidia, none, cpu, or {EXAMPLE}.",
        param="devices",
    )
