"""NVIDIA's cards, by the driver's own library as `nvidia-ml-py` binds it (the extra `nvidia`)."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

from viiwork.devices.amd import numbered
from viiwork.devices.base import Device, Reading
from viiwork.devices.host import Host
from viiwork.devices.nvidia_reading import read_card, text

DRIVER = "/proc/driver/nvidia/version"
CONTROL = "/dev/nvidiactl"
LIBRARY = "pynvml"
EXTRA = "Install it with: pip install 'viiwork[nvidia]'"

Load = Callable[[], Any]


def load_library() -> Any:
    """The binding's module. Raises ImportError where it is not installed."""
    return importlib.import_module(LIBRARY)


class NvidiaDevices:
    """Every card of NVIDIA's that the driver lists; none where there is no driver or no binding."""

    def __init__(self, host: Host | None = None, *, load: Load = load_library) -> None:
        self._host = host or Host()
        self._load = load
        self._library: Any = None

    def found(self) -> tuple[Device, ...]:
        """Cards in the order of their PCI addresses, which is CUDA's if `CUDA_DEVICE_ORDER` says so."""
        nvml, _ = self._started()
        if nvml is None:
            return ()
        try:
            devices = [self._device(nvml, number) for number in range(nvml.nvmlDeviceGetCount())]
        except nvml.NVMLError:
            return ()
        return tuple(numbered(sorted((one for one in devices if one is not None), key=lambda one: one.pci)))

    def read(self, device: Device) -> Reading:
        """How it is, as the driver tells."""
        nvml, _ = self._started()
        return Reading(state="gone") if nvml is None else read_card(nvml, device)

    def why_none(self) -> str:
        """The driver, the binding, or an empty machine."""
        if self.found():
            return ""
        if not (self._host.exists(CONTROL) or self._host.exists(DRIVER)):
            return f"NVIDIA: there is no {CONTROL}, so no driver is loaded or this container was not given one."
        nvml, why = self._started()
        return "NVIDIA: the driver is there and lists no card." if nvml is not None else why

    def _started(self) -> tuple[Any, str]:
        """The library, ready to be asked; else None and why. Tried again each time: a driver may be loaded later."""
        if self._library is not None:
            return self._library, ""
        try:
            nvml = self._load()
        except ImportError:
            return None, f"NVIDIA: the driver is there, but not the Python package nvidia-ml-py. {EXTRA}"
        try:
            nvml.nvmlInit()
        except nvml.NVMLError as error:
            return None, f"NVIDIA: the driver's library does not start: {error}."
        self._library = nvml
        return nvml, ""

    def _device(self, nvml: Any, number: int) -> Device | None:
        """One card; None for one that the container may not use, or that fails while it is asked."""
        try:
            handle = nvml.nvmlDeviceGetHandleByIndex(number)
            uuid = text(nvml.nvmlDeviceGetUUID(handle))
            pci = pci_of(text(nvml.nvmlDeviceGetPciInfo(handle).busId))
            major, minor = nvml.nvmlDeviceGetCudaComputeCapability(handle)
            return Device(
                id=uuid or pci,
                vendor="nvidia",
                index=-1,
                name=text(nvml.nvmlDeviceGetName(handle)),
                arch=f"sm_{major}{minor}",
                vram_bytes=self._vram_bytes(nvml, handle),
                uuid=uuid,
                pci=pci,
                openable=self._openable(nvml.nvmlDeviceGetMinorNumber(handle)),
            )
        except nvml.NVMLError:
            return None

    def _vram_bytes(self, nvml: Any, handle: Any) -> int:
        """0 for a chip that shares the computer's memory: NVML does not tell there."""
        try:
            return int(nvml.nvmlDeviceGetMemoryInfo(handle).total)
        except nvml.NVMLError:
            return 0

    def _openable(self, minor: int) -> bool:
        return self._host.openable(CONTROL) and self._host.openable(f"/dev/nvidia{minor}")


def pci_of(bus_id: str) -> str:
    """`0000:03:00.0` of NVML's `00000000:03:00.0`."""
    domain, _, rest = bus_id.lower().partition(":")
    return f"{int(domain, 16):04x}:{rest}" if rest else bus_id.lower()
