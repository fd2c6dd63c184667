"""Setting the power caps of cards, whoever made them: directly where this user may, else by the one root command."""

from __future__ import annotations

import shlex
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from viiwork.devices import capwriter
from viiwork.devices.base import Device, Devices, Reading
from viiwork.devices.host import ROOT
from viiwork.devices.nvidia import load_library
from viiwork.devices.simulated import SimulatedDevices
from viiwork.errors import UsageError, ViiworkError

SUDO = ("sudo", "-n")
"""Asks for no password: it works or it is refused."""
SUDO_TIMEOUT_S = 30.0
MILLI = 1000


class CapsNotSet(ViiworkError):
    """Raised when some caps could not be written; the hint says what to run or to do."""

    code = "caps_not_set"


def writable(device: Device, *, root: Path = ROOT) -> bool | None:
    """Whether this user may write the card's cap; None where only trying tells."""
    if device.vendor == "simulated":
        return True
    if device.vendor == "nvidia":
        return None
    try:
        cap = capwriter.sensors_of(device.pci, root=root) / "power1_cap"
        with cap.open("r+b"):  # a look at the mode would say yes of a /sys that is mounted read-only
            return True
    except (OSError, capwriter.CapRefused):
        return False


def check_watts(device: Device, reading: Reading, watts: int) -> None:
    """Raises UsageError for a cap that the card would refuse by its own limits."""
    lowest, highest = reading.cap_min_w or 0.0, reading.cap_max_w
    if watts and highest is not None and not lowest <= watts <= highest:
        default = "" if reading.cap_default_w is None else f" of {reading.cap_default_w:g} W"
        hint = f"From {lowest:g} to {highest:g} W, or 0 for the default{default}."
        raise UsageError(f"{device.name}: a power cap of {watts} W is not possible.", hint=hint, param="WATTS")


def set_caps(
    source: Devices, devices: tuple[Device, ...], watts: int, *, root: Path = ROOT, sudo: tuple[str, ...] = SUDO
) -> None:
    """Cap each of them, or restore the defaults with 0. Raises UsageError, CapsNotSet.

    Cards of AMD's that this user may not write go to root in one command, the last thing that is tried.
    """
    by_root = []
    for device in devices:
        if isinstance(source, SimulatedDevices):
            source.set_cap(device, watts)
        elif device.vendor == "nvidia":
            set_nvidia(device, watts)
        elif writable(device, root=root):
            _directly(device, watts, root)
        else:
            by_root.append(device)
    if by_root:
        _as_root([f"{device.pci}={watts}" for device in by_root], sudo)


def set_each(
    source: Devices, wanted: Mapping[Device, int], *, root: Path = ROOT, sudo: tuple[str, ...] = SUDO
) -> dict[str, ViiworkError]:
    """Each card's own cap in watts; answers why not, by the identities of those whose cap was not written.

    Those that only root may write go to root in one command.
    """
    refused: dict[str, ViiworkError] = {}
    by_root = {}
    for device, watts in wanted.items():
        if device.vendor == "amd" and not writable(device, root=root):
            by_root[device] = watts
            continue
        try:
            set_caps(source, (device,), watts, root=root)
        except (UsageError, CapsNotSet) as error:
            refused[device.id] = error
    try:
        if by_root:
            _as_root([f"{device.pci}={watts}" for device, watts in by_root.items()], sudo)
    except CapsNotSet as error:
        refused |= {device.id: error for device in by_root}
    return refused


def root_command(orders: list[str]) -> list[str]:
    """What root runs: our file alone, without this directory, the environment or installed packages."""
    return [sys.executable, "-I", "-S", str(Path(capwriter.__file__).resolve()), *orders]


def set_nvidia(device: Device, watts: int, *, load: Callable[[], Any] = load_library) -> None:
    """By NVML, which lets root alone do it on most machines. Raises CapsNotSet."""
    try:
        nvml = load()
        nvml.nvmlInit()
        handle = nvml.nvmlDeviceGetHandleByUUID(device.uuid)
        limit = watts * MILLI or nvml.nvmlDeviceGetPowerManagementDefaultLimit(handle)
        nvml.nvmlDeviceSetPowerManagementLimit(handle, limit)
    except ImportError as error:
        raise CapsNotSet("NVIDIA's library is not installed.", hint="pip install 'viiwork[nvidia]'") from error
    except nvml.NVMLError as error:
        raise _nvidia_refusal(nvml, device, error) from error


def _nvidia_refusal(nvml: Any, device: Device, error: Any) -> CapsNotSet:
    known: Mapping[int, tuple[str, str]] = {
        nvml.NVML_ERROR_NO_PERMISSION: (
            "its driver lets root alone set a power cap.",
            f"Run: sudo nvidia-smi -i {device.pci} -pl WATTS",
        ),
        nvml.NVML_ERROR_NOT_SUPPORTED: ("this card's power cannot be capped.", ""),
    }
    why, hint = known.get(error.value, (f"the driver refuses the cap: {error}.", ""))
    return CapsNotSet(f"{device.name} ({device.pci}): {why}", hint=hint)


def _directly(device: Device, watts: int, root: Path) -> None:
    try:
        capwriter.write_cap(device.pci, watts, root=root)
    except capwriter.CapRefused as refusal:
        raise CapsNotSet(f"{device.name} ({device.pci}): {refusal}") from refusal


def _as_root(orders: list[str], sudo: tuple[str, ...]) -> None:
    command = root_command(orders)
    hint = f"Run: sudo {shlex.join(command)}"
    try:
        done = subprocess.run(  # noqa: S603 - our own file; its arguments are PCI addresses that the kernel named
            [*sudo, *command], stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=SUDO_TIMEOUT_S
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CapsNotSet("Only root may write power caps, and sudo does not answer.", hint=hint) from error
    if done.returncode:
        told = done.stderr.decode("utf-8", "replace").strip().splitlines()
        why = f" ({told[0][:200]})" if told else ""
        raise CapsNotSet(f"Only root may write power caps, and sudo did not do it{why}.", hint=hint)
