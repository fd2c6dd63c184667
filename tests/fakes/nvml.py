"""NVIDIA's library as `pynvml` shows it, as far as it is asked: no driver, no card."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

MIB = 1024**2


class NVMLError(Exception):
    """As the binding raises it: `value` is the library's number for it."""

    def __init__(self, value: int) -> None:
        super().__init__(f"error {value}")
        self.value = value


@dataclass
class FakeNvidia:
    """One card; `refuses` names the questions that it does not answer, with the error."""

    uuid: str
    bus: str
    minor: int
    name: str | bytes = "NVIDIA GeForce RTX 3090"
    refuses: Mapping[str, int] = field(default_factory=dict)


@dataclass
class FakeNvml:
    """Stands for the module: the same names, the same units (milliwatts, MHz, bytes)."""

    cards: list[FakeNvidia] = field(default_factory=list)
    init_error: int = 0

    NVMLError = NVMLError
    NVML_SUCCESS = 0
    NVML_ERROR_NOT_SUPPORTED = 3
    NVML_ERROR_NO_PERMISSION = 4
    NVML_ERROR_NOT_FOUND = 6
    NVML_ERROR_DRIVER_NOT_LOADED = 9
    NVML_ERROR_GPU_IS_LOST = 15
    NVML_ERROR_RESET_REQUIRED = 16
    NVML_ERROR_NOT_READY = 27
    NVML_TEMPERATURE_GPU = 0
    NVML_TEMPERATURE_THRESHOLD_SHUTDOWN = 0
    NVML_TEMPERATURE_THRESHOLD_SLOWDOWN = 1
    NVML_TEMPERATURE_THRESHOLD_MEM_MAX = 2
    NVML_FI_DEV_MEMORY_TEMP = 82
    NVML_CLOCK_SM = 1
    NVML_CLOCK_MEM = 2

    def nvmlInit(self) -> None:  # noqa: N802 - the library's name
        if self.init_error:
            raise NVMLError(self.init_error)

    def nvmlDeviceGetCount(self) -> int:  # noqa: N802 - the library's name
        return len(self.cards)

    def nvmlDeviceGetHandleByIndex(self, number: int) -> FakeNvidia:  # noqa: N802 - the library's name
        return self._open(self.cards[number], "handle")

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> FakeNvidia:  # noqa: N802 - the library's name
        found = [card for card in self.cards if card.uuid == uuid]
        if not found:
            raise NVMLError(self.NVML_ERROR_NOT_FOUND)
        return self._open(found[0], "handle")

    def __getattr__(self, name: str) -> Any:
        """The questions that only look something up."""
        answer = ANSWERS[name.removeprefix("nvmlDeviceGet")]

        def ask(card: FakeNvidia, *details: Any) -> Any:
            self._open(card, name.removeprefix("nvmlDeviceGet"))
            return answer(card, *details)

        return ask

    def _open(self, card: FakeNvidia, question: str) -> FakeNvidia:
        error = card.refuses.get(question, card.refuses.get("all", 0))
        if error:
            raise NVMLError(error)
        return card


def memory_field(_card: FakeNvidia, _fields: list[int]) -> list[Any]:
    return [SimpleNamespace(nvmlReturn=0, value=SimpleNamespace(uiVal=84))]


ANSWERS: dict[str, Any] = {
    "UUID": lambda card: card.uuid,
    "PciInfo": lambda card: SimpleNamespace(busId=card.bus),
    "CudaComputeCapability": lambda _card: (8, 6),
    "Name": lambda card: card.name,
    "MinorNumber": lambda card: card.minor,
    "MemoryInfo": lambda _card: SimpleNamespace(total=24_576 * MIB, used=20_480 * MIB),
    "UtilizationRates": lambda _card: SimpleNamespace(gpu=88, memory=40),
    "PowerUsage": lambda _card: 301_500,
    "EnforcedPowerLimit": lambda _card: 350_000,
    "PowerManagementDefaultLimit": lambda _card: 350_000,
    "PowerManagementLimitConstraints": lambda _card: [100_000, 366_000],
    "ClockInfo": lambda _card, which: {1: 1695, 2: 9501}[which],
    "Temperature": lambda _card, _sensor: 67,
    "TemperatureThreshold": lambda _card, which: {0: 98, 1: 95, 2: 110}[which],
    "FieldValues": memory_field,
    "CurrPcieLinkWidth": lambda _card: 8,
    "CurrPcieLinkGeneration": lambda _card: 3,
    "MaxPcieLinkWidth": lambda _card: 16,
    "MaxPcieLinkGeneration": lambda _card: 4,
}
