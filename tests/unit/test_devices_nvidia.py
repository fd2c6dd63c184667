"""NVIDIA's cards, by a stand-in for the driver's library: no card of theirs was at hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.fakes.cards import write
from tests.fakes.nvml import MIB, FakeNvidia, FakeNvml
from viiwork.devices import Link, Reading, Temperature
from viiwork.devices.host import Host
from viiwork.devices.nvidia import NvidiaDevices, pci_of

FIRST = FakeNvidia("GPU-aaaa", "00000000:0B:00.0", 0)
SECOND = FakeNvidia("GPU-bbbb", "00000000:41:00.0", 1)


def machine(root: Path, *cards: FakeNvidia, nodes: tuple[int, ...] = (0, 1), **changes: Any) -> NvidiaDevices:
    """These cards, and the device nodes of those numbers."""
    write(root, "dev/nvidiactl", "")
    for number in nodes:
        write(root, f"dev/nvidia{number}", "")
    library = FakeNvml(list(cards), **changes)
    return NvidiaDevices(Host(root), load=lambda: library)


def missing() -> Any:
    raise ImportError


class TestWhoTheyAre:
    def test_cards_are_in_the_order_of_their_slots(self, tmp_path: Path) -> None:
        """With the architecture, the memory and the UUID that CUDA takes."""
        found = machine(tmp_path, SECOND, FIRST).found()
        assert [(each.id, each.index, each.pci) for each in found] == [
            ("GPU-aaaa", 0, "0000:0b:00.0"),
            ("GPU-bbbb", 1, "0000:41:00.0"),
        ]
        assert {(each.vendor, each.name, each.arch, each.vram_bytes) for each in found} == {
            ("nvidia", "NVIDIA GeForce RTX 3090", "sm_86", 24_576 * MIB)
        }

    def test_cards_whose_node_is_not_in_the_container_have_no_number(self, tmp_path: Path) -> None:
        found = machine(tmp_path, FIRST, SECOND, nodes=(1,)).found()
        assert [(each.index, each.openable) for each in found] == [(-1, False), (0, True)]

    def test_a_card_that_the_driver_keeps_to_itself_is_left_out(self, tmp_path: Path) -> None:
        closed = FakeNvidia("GPU-cccc", "00000000:01:00.0", 2, refuses={"handle": FakeNvml.NVML_ERROR_NO_PERMISSION})
        assert [each.id for each in machine(tmp_path, closed, FIRST).found()] == ["GPU-aaaa"]

    def test_a_chip_that_shares_memory_has_none_of_its_own(self, tmp_path: Path) -> None:
        """So that nothing is placed there by mistake; and older bindings answer bytes."""
        shared = FakeNvidia("GPU-dddd", "0:1:0.0", 0, name=b"GB10", refuses={"MemoryInfo": 3, "Temperature": 3})
        devices = machine(tmp_path, shared)
        (device,) = devices.found()
        assert (device.vram_bytes, device.name) == (0, "GB10")
        reading = devices.read(device)
        assert (reading.state, reading.vram_used_bytes, reading.power_w) == ("ok", None, 301.5)

    def test_addresses_are_written_as_the_kernel_writes_them(self) -> None:
        assert pci_of("00000000:0B:00.0") == "0000:0b:00.0"
        assert pci_of("00010000:0B:00.0") == "10000:0b:00.0"


class TestHowTheyAre:
    def test_every_figure_is_in_our_units(self, tmp_path: Path) -> None:
        devices = machine(tmp_path, FIRST)
        assert devices.read(devices.found()[0]) == Reading(
            state="ok",
            vram_used_bytes=20_480 * MIB,
            busy_percent=88.0,
            temperatures=(Temperature("gpu", 67.0, 95, 98), Temperature("mem", 84.0, 110)),
            power_w=301.5,
            cap_w=350.0,
            cap_min_w=100.0,
            cap_max_w=366.0,
            cap_default_w=350.0,
            core_mhz=1695,
            memory_mhz=9501,
            link=Link(8.0, 8, 16.0, 16),
        )

    def test_what_a_card_does_not_tell_is_unknown(self, tmp_path: Path) -> None:
        questions = ("UtilizationRates", "PowerUsage", "PowerManagementLimitConstraints", "FieldValues", "ClockInfo")
        shy = FakeNvidia("GPU-aaaa", "0:1:0.0", 0, refuses=dict.fromkeys((*questions, "CurrPcieLinkWidth"), 3))
        devices = machine(tmp_path, shy)
        reading = devices.read(devices.found()[0])
        assert (reading.state, reading.busy_percent, reading.power_w, reading.cap_min_w) == ("ok", None, None, None)
        assert (reading.core_mhz, reading.link, len(reading.temperatures)) == (None, None, 1)

    @pytest.mark.parametrize(
        ("question", "error", "state"),
        [
            ("Temperature", FakeNvml.NVML_ERROR_GPU_IS_LOST, "gone"),
            ("Temperature", FakeNvml.NVML_ERROR_RESET_REQUIRED, "resetting"),
            ("handle", FakeNvml.NVML_ERROR_GPU_IS_LOST, "gone"),
            ("handle", FakeNvml.NVML_ERROR_NOT_FOUND, "gone"),
            ("handle", FakeNvml.NVML_ERROR_NOT_READY, "resetting"),
        ],
    )
    def test_a_card_in_trouble_is_lost_or_starts_again(
        self, tmp_path: Path, question: str, error: int, state: str
    ) -> None:
        """And says nothing else."""
        card = FakeNvidia("GPU-aaaa", "00000000:0B:00.0", 0)
        devices = machine(tmp_path, card)
        (device,) = devices.found()
        card.refuses = {question: error}
        assert devices.read(device) == Reading(state=state)  # type: ignore[arg-type] # of the table above


class TestWhyNone:
    def test_a_machine_without_the_driver(self, tmp_path: Path) -> None:
        devices = NvidiaDevices(Host(tmp_path), load=missing)
        assert devices.found() == ()
        assert "no /dev/nvidiactl" in devices.why_none()

    def test_a_driver_without_the_package(self, tmp_path: Path) -> None:
        """With the command that mends it."""
        write(tmp_path, "dev/nvidiactl", "")
        devices = NvidiaDevices(Host(tmp_path), load=missing)
        assert devices.found() == ()
        assert "pip install 'viiwork[nvidia]'" in devices.why_none()

    def test_a_library_that_does_not_start(self, tmp_path: Path) -> None:
        devices = machine(tmp_path, FIRST, init_error=FakeNvml.NVML_ERROR_DRIVER_NOT_LOADED)
        assert devices.found() == ()
        assert "does not start: error 9" in devices.why_none()

    def test_a_driver_without_a_card(self, tmp_path: Path) -> None:
        assert "lists no card" in machine(tmp_path).why_none()

    def test_a_machine_with_cards_has_nothing_to_explain(self, tmp_path: Path) -> None:
        assert machine(tmp_path, FIRST).why_none() == ""
