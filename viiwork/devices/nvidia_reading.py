"""How one of NVIDIA's cards is. What a card of its kind does not tell (NVML: not supported) is None."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from viiwork.devices.base import Device, Link, Reading, State, Temperature

MILLI = 1e-3
GTS = {1: 2.5, 2: 5.0, 3: 8.0, 4: 16.0, 5: 32.0, 6: 64.0}
"""Gigatransfers a second and lane by PCIe generation."""

T = TypeVar("T")


def read_card(nvml: Any, device: Device) -> Reading:
    """One look at a card, found again by its UUID."""
    try:
        handle = nvml.nvmlDeviceGetHandleByUUID(device.uuid)
    except nvml.NVMLError as error:
        return Reading(state="resetting" if state_of(nvml, error) == "resetting" else "gone")
    try:
        nvml.nvmlDeviceGetTemperature(handle, nvml.NVML_TEMPERATURE_GPU)  # a lost card may still have a handle
    except nvml.NVMLError as error:
        if (state := state_of(nvml, error)) != "ok":
            return Reading(state=state)
    return _Card(nvml, handle).reading()


def state_of(nvml: Any, error: Any) -> State:
    """What it means that a card did not answer. One that lacks a sensor is there all the same."""
    if error.value in (nvml.NVML_ERROR_GPU_IS_LOST, nvml.NVML_ERROR_NOT_FOUND):
        return "gone"
    return "resetting" if error.value in (nvml.NVML_ERROR_RESET_REQUIRED, nvml.NVML_ERROR_NOT_READY) else "ok"


class _Card:
    """One handle, and questions to it of which any may be refused."""

    def __init__(self, nvml: Any, handle: Any) -> None:
        self._nvml = nvml
        self._handle = handle

    def reading(self) -> Reading:
        nvml, ask, watts = self._nvml, self._ask, self._watts
        memory = ask(nvml.nvmlDeviceGetMemoryInfo)
        use = ask(nvml.nvmlDeviceGetUtilizationRates)
        limits = ask(nvml.nvmlDeviceGetPowerManagementLimitConstraints)
        return Reading(
            state="ok",
            vram_used_bytes=None if memory is None else int(memory.used),
            busy_percent=None if use is None else float(use.gpu),
            temperatures=self._temperatures(),
            power_w=watts(ask(nvml.nvmlDeviceGetPowerUsage)),
            cap_w=watts(ask(nvml.nvmlDeviceGetEnforcedPowerLimit)),
            cap_min_w=None if limits is None else watts(limits[0]),
            cap_max_w=None if limits is None else watts(limits[1]),
            cap_default_w=watts(ask(nvml.nvmlDeviceGetPowerManagementDefaultLimit)),
            core_mhz=ask(nvml.nvmlDeviceGetClockInfo, nvml.NVML_CLOCK_SM),
            memory_mhz=ask(nvml.nvmlDeviceGetClockInfo, nvml.NVML_CLOCK_MEM),
            link=self._link(),
        )

    def _temperatures(self) -> tuple[Temperature, ...]:
        nvml = self._nvml
        found = self._ask(nvml.nvmlDeviceGetTemperature, nvml.NVML_TEMPERATURE_GPU)
        slow = self._ask(nvml.nvmlDeviceGetTemperatureThreshold, nvml.NVML_TEMPERATURE_THRESHOLD_SLOWDOWN)
        off = self._ask(nvml.nvmlDeviceGetTemperatureThreshold, nvml.NVML_TEMPERATURE_THRESHOLD_SHUTDOWN)
        sensors = [] if found is None else [Temperature("gpu", float(found), slow, off)]
        memory = self._memory_celsius()
        if memory is not None:
            most = self._ask(nvml.nvmlDeviceGetTemperatureThreshold, nvml.NVML_TEMPERATURE_THRESHOLD_MEM_MAX)
            sensors.append(Temperature("mem", memory, most))
        return tuple(sensors)

    def _memory_celsius(self) -> float | None:
        """A field of its own; cards without that sensor answer 0 or an error in it."""
        fields = self._ask(self._nvml.nvmlDeviceGetFieldValues, [self._nvml.NVML_FI_DEV_MEMORY_TEMP])
        if not fields or fields[0].nvmlReturn != self._nvml.NVML_SUCCESS:
            return None
        return float(fields[0].value.uiVal) or None

    def _link(self) -> Link | None:
        nvml, ask = self._nvml, self._ask
        width = ask(nvml.nvmlDeviceGetCurrPcieLinkWidth)
        if width is None:
            return None
        speeds = [ask(nvml.nvmlDeviceGetCurrPcieLinkGeneration), ask(nvml.nvmlDeviceGetMaxPcieLinkGeneration)]
        now, most = (None if speed is None else GTS.get(speed) for speed in speeds)
        return Link(now, width, most, ask(nvml.nvmlDeviceGetMaxPcieLinkWidth))

    def _ask(self, question: Callable[..., T], *details: Any) -> T | None:
        """An answer of the driver; None where it refuses."""
        try:
            return question(self._handle, *details)
        except self._nvml.NVMLError:
            return None

    @staticmethod
    def _watts(milliwatts: int | None) -> float | None:
        return None if milliwatts is None else milliwatts * MILLI


def text(said: str | bytes) -> str:
    """NVML's text; older bindings answer bytes."""
    return said.decode("utf-8", "replace") if isinstance(said, bytes) else said
