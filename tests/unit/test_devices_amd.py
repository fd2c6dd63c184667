"""AMD's cards from trees as the kernel makes them: who each is, and how it is."""

from __future__ import annotations

import errno
import shutil
from pathlib import Path

import pytest

from tests.fakes.cards import (
    GIB,
    NODES,
    RADEON_VII_BYTES,
    FakeCard,
    RefusingHost,
    device_folder,
    mi50_32gb,
    mi250x,
    radeon_vii,
    write,
    write_tree,
)
from viiwork.devices import Device, Link, Reading, Temperature
from viiwork.devices.amd import AmdDevices
from viiwork.devices.amd_names import arch_of, name_of
from viiwork.devices.amd_sysfs import active_mhz, state_of
from viiwork.devices.host import Host

RESET = dict.fromkeys(
    ("gpu_busy_percent", "pp_dpm_sclk", "pp_dpm_mclk", "temp1_input", "temp2_input", "temp3_input", "power1_average"),
    errno.EPERM,
)


def cards_of(root: Path) -> AmdDevices:
    return AmdDevices(Host(root))


def only(root: Path, *cards: FakeCard) -> tuple[AmdDevices, Device]:
    """The devices of a machine with these cards, and the first of them."""
    devices = cards_of(write_tree(root, cards))
    return devices, devices.found()[0]


class TestWhoTheyAre:
    @pytest.mark.parametrize("count", [1, 4, 8, 10])
    def test_each_card_has_all_its_names(self, tmp_path: Path, count: int) -> None:
        """UUID, PCI address, KFD node, ROCm's number and render node, in one order."""
        fakes = [radeon_vii(number) for number in range(count)]
        found = cards_of(write_tree(tmp_path, fakes)).found()
        assert [device.id for device in found] == [fake.uuid for fake in fakes]
        assert [device.pci for device in found] == [fake.pci for fake in fakes]
        assert [device.index for device in found] == list(range(count))
        assert [device.kfd_node for device in found] == list(range(1, count + 1))
        assert [device.render_minor for device in found] == [128 + number for number in range(count)]
        assert {(device.vendor, device.name, device.arch, device.vram_bytes, device.openable) for device in found} == {
            ("amd", "Radeon VII", "gfx906", RADEON_VII_BYTES, True)
        }

    def test_a_mixed_machine_tells_its_cards_apart(self, tmp_path: Path) -> None:
        """An MI250X is two devices of 64 GiB."""
        fakes = [radeon_vii(0), mi50_32gb(1), *mi250x(2), radeon_vii(4)]
        found = cards_of(write_tree(tmp_path, fakes)).found()
        assert [(device.name, device.arch, device.vram_bytes // GIB) for device in found] == [
            ("Radeon VII", "gfx906", 15),
            ("Instinct MI50 32GB", "gfx906", 32),
            ("Instinct MI250X", "gfx90a", 64),
            ("Instinct MI250X", "gfx90a", 64),
            ("Radeon VII", "gfx906", 15),
        ]

    def test_the_number_is_that_of_kfd_and_not_that_of_drm(self, tmp_path: Path) -> None:
        """A display adapter took card0, and render nodes were handed out in another order."""
        fakes = [radeon_vii(0, drm=2, minor=130), radeon_vii(1, drm=1, minor=129)]
        found = cards_of(write_tree(tmp_path, fakes)).found()
        assert [(device.index, device.render_minor) for device in found] == [(0, 130), (1, 129)]

    def test_nodes_are_counted_as_numbers(self, tmp_path: Path) -> None:
        """Node 10 comes after node 2."""
        fakes = [radeon_vii(number) for number in range(10)]
        assert [device.kfd_node for device in cards_of(write_tree(tmp_path, fakes)).found()] == list(range(1, 11))

    def test_a_card_without_a_unique_id_goes_by_its_pci_address(self, tmp_path: Path) -> None:
        _, device = only(tmp_path, radeon_vii(0, unique_id=0))
        assert (device.id, device.uuid, device.index) == ("0000:03:00.0", "", 0)

    def test_two_cards_of_one_unique_id_are_not_pinned_by_it(self, tmp_path: Path) -> None:
        """Boards flashed from one image have been seen."""
        fakes = [radeon_vii(0, unique_id=7), radeon_vii(1, unique_id=7)]
        found = cards_of(write_tree(tmp_path, fakes)).found()
        assert [(device.id, device.uuid) for device in found] == [(fake.pci, "") for fake in fakes]

    def test_the_pci_address_has_domain_device_and_function(self, tmp_path: Path) -> None:
        write_tree(tmp_path, [radeon_vii(0, domain=0x10)])
        write(tmp_path, f"{NODES}/2/properties", "simd_count 240\nlocation_id 17739\ndomain 1\ndrm_render_minor 140")
        assert [device.pci for device in cards_of(tmp_path).found()] == ["0010:03:00.0", "0001:45:09.3"]

    def test_in_a_container_only_the_cards_that_it_was_given_are_numbered(self, tmp_path: Path) -> None:
        """KFD lists all cards of the host."""
        fakes = [radeon_vii(number) for number in range(4)]
        found = cards_of(write_tree(tmp_path, fakes, closed=[fakes[0], fakes[2]])).found()
        assert [(device.index, device.openable) for device in found] == [(-1, False), (0, True), (-1, False), (1, True)]

    def test_nodes_that_the_container_may_not_read_are_not_there(self, tmp_path: Path) -> None:
        """The kernel answers EPERM for them, and ROCm does not count them."""
        fakes = [radeon_vii(number) for number in range(3)]
        host = RefusingHost(write_tree(tmp_path, fakes), {"nodes/2/properties": errno.EPERM})
        found = AmdDevices(host).found()
        assert [(device.index, device.uuid) for device in found] == [(0, fakes[0].uuid), (1, fakes[2].uuid)]

    def test_without_kfd_no_card_can_be_opened(self, tmp_path: Path) -> None:
        write_tree(tmp_path, [radeon_vii(0)])
        (tmp_path / "dev/kfd").unlink()
        (device,) = cards_of(tmp_path).found()
        assert not device.openable

    def test_memory_is_what_kfd_says_where_the_device_directory_is_hidden(self, tmp_path: Path) -> None:
        """Then it is gone as far as readings go."""
        write_tree(tmp_path, [radeon_vii(0)])
        shutil.rmtree(tmp_path / "sys/bus")
        (device,) = cards_of(tmp_path).found()
        assert device.vram_bytes == RADEON_VII_BYTES

    def test_names_of_chips(self) -> None:
        versions = {90006: "gfx906", 90008: "gfx908", 90010: "gfx90a", 90402: "gfx942", 100300: "gfx1030", 0: ""}
        assert {version: arch_of(version) for version in versions} == versions
        assert arch_of(110001) == "gfx1101"
        assert name_of(0x1234, arch="gfx1030", vram_bytes=0) == "AMD gfx1030"
        assert name_of(0x66A1, arch="gfx906", vram_bytes=RADEON_VII_BYTES) == "Instinct MI50 16GB"


class TestWhyNone:
    def test_a_machine_without_the_driver(self, tmp_path: Path) -> None:
        assert "no /dev/kfd" in cards_of(tmp_path).why_none()
        assert cards_of(tmp_path).found() == ()

    def test_a_driver_without_a_card(self, tmp_path: Path) -> None:
        assert "lists no card" in cards_of(write_tree(tmp_path, [])).why_none()

    def test_a_machine_with_cards_has_nothing_to_explain(self, tmp_path: Path) -> None:
        assert cards_of(write_tree(tmp_path, [radeon_vii(0)])).why_none() == ""


class TestHowTheyAre:
    def test_every_figure_is_in_our_units(self, tmp_path: Path) -> None:
        devices, device = only(tmp_path, radeon_vii(0))
        assert devices.read(device) == Reading(
            state="ok",
            vram_used_bytes=14 * GIB,
            busy_percent=97.0,
            temperatures=(
                Temperature("edge", 71.0, 100.0, 105.0),
                Temperature("junction", 93.0, 105.0, 110.0),
                Temperature("mem", 80.0, 94.0, 99.0),
            ),
            power_w=231.0,
            cap_w=250.0,
            cap_min_w=0.0,
            cap_max_w=300.0,
            cap_default_w=250.0,
            core_mhz=1801,
            memory_mhz=1001,
            fan_rpm=2904,
            link=Link(8.0, 16, 8.0, 16),
        )

    def test_the_file_that_blocks_is_never_read(self, tmp_path: Path) -> None:
        host = RefusingHost(write_tree(tmp_path, [radeon_vii(0)]))
        devices = AmdDevices(host)
        devices.read(devices.found()[0])
        assert host.asked
        assert not [name for name in host.asked if name.endswith("pcie_bw")]

    def test_an_empty_lowest_cap_is_unknown_and_not_zero(self, tmp_path: Path) -> None:
        devices, device = only(tmp_path, radeon_vii(0, cap_min=""))
        reading = devices.read(device)
        assert (reading.state, reading.cap_min_w, reading.cap_w) == ("ok", None, 250.0)

    def test_a_card_without_sensors_still_tells_its_memory(self, tmp_path: Path) -> None:
        """Another driver's hwmon is not taken for it."""
        devices, device = only(tmp_path, radeon_vii(0, sensors=False))
        reading = devices.read(device)
        assert (reading.state, reading.temperatures, reading.power_w, reading.cap_w) == ("ok", (), None, None)
        assert (reading.vram_used_bytes, reading.busy_percent) == (14 * GIB, 97.0)

    def test_sensors_that_got_another_number_are_found_again(self, tmp_path: Path) -> None:
        card = radeon_vii(0)
        devices, device = only(tmp_path, card)
        hwmon = device_folder(tmp_path, card) / "hwmon"
        (hwmon / "hwmon4").rename(hwmon / "hwmon11")
        assert devices.read(device).power_w == 231.0

    def test_power_is_the_input_where_there_is_no_average(self, tmp_path: Path) -> None:
        card = radeon_vii(0)
        devices, device = only(tmp_path, card)
        sensors = device_folder(tmp_path, card) / "hwmon/hwmon4"
        (sensors / "power1_average").rename(sensors / "power1_input")
        assert devices.read(device).power_w == 231.0

    def test_what_a_card_lacks_is_unknown(self, tmp_path: Path) -> None:
        """No fan of its own, no limits, no table of clocks, nonsense in a file."""
        card = mi50_32gb(0)
        devices, device = only(tmp_path, card)
        folder = device_folder(tmp_path, card)
        (folder / "pp_dpm_sclk").unlink()
        (folder / "gpu_busy_percent").write_text("what\n")
        (folder / "hwmon/hwmon4/temp3_crit").write_text("-273150\n")
        (folder / "hwmon/hwmon4/temp3_emergency").unlink()
        reading = devices.read(device)
        assert (reading.fan_rpm, reading.core_mhz, reading.busy_percent) == (None, None, None)
        assert reading.temperatures[2] == Temperature("mem", 80.0, None, None)
        assert reading.state == "ok"

    def test_the_link_is_that_of_the_slot_and_not_that_inside_the_card(self, tmp_path: Path) -> None:
        """Of a riser with one lane the card's own directory says sixteen."""
        devices, device = only(tmp_path, radeon_vii(0, slot_lanes=1))
        assert devices.read(device).link == Link(8.0, 1, 8.0, 16)

    def test_a_link_that_does_not_tell_is_unknown(self, tmp_path: Path) -> None:
        card = radeon_vii(0)
        devices, device = only(tmp_path, card)
        for file in tmp_path.rglob("current_link_speed"):
            file.write_text("Unknown\n")
        assert devices.read(device).link is None

    def test_clocks_of_older_and_newer_drivers(self) -> None:
        assert active_mhz("0: 808Mhz\n1: 1801Mhz *\n") == 1801
        assert active_mhz("S: 19Mhz *\n0: 808Mhz \n") == 19
        assert active_mhz("0: 808Mhz\n") is None


class TestTrouble:
    def test_a_card_in_reset_is_neither_gone_nor_idle(self, tmp_path: Path) -> None:
        """What can still be read is there; what is refused is unknown."""
        devices = AmdDevices(RefusingHost(write_tree(tmp_path, [radeon_vii(0)]), RESET))
        (device,) = devices.found()
        reading = devices.read(device)
        assert reading.state == "resetting"
        assert (reading.busy_percent, reading.power_w, reading.core_mhz, reading.temperatures) == (None, None, None, ())
        assert reading.vram_used_bytes == 14 * GIB

    def test_a_card_that_sleeps_is_well_and_tells_little(self, tmp_path: Path) -> None:
        """The driver refuses the same files then, so as not to wake it."""
        card = radeon_vii(0)
        devices = AmdDevices(RefusingHost(write_tree(tmp_path, [card]), RESET))
        write(device_folder(tmp_path, card), "power/runtime_status", "suspended")
        reading = devices.read(devices.found()[0])
        assert (reading.state, reading.power_w, reading.vram_used_bytes) == ("ok", None, 14 * GIB)

    def test_one_file_that_is_closed_is_no_reset(self, tmp_path: Path) -> None:
        devices = AmdDevices(RefusingHost(write_tree(tmp_path, [radeon_vii(0)]), {"power1_cap_max": errno.EPERM}))
        reading = devices.read(devices.found()[0])
        assert (reading.state, reading.cap_max_w) == ("ok", None)

    def test_files_that_this_user_may_not_read_are_no_reset(self, tmp_path: Path) -> None:
        """EACCES is about the user, EPERM about the card."""
        answers = dict.fromkeys(RESET, errno.EACCES)
        devices = AmdDevices(RefusingHost(write_tree(tmp_path, [radeon_vii(0)]), answers))
        assert devices.read(devices.found()[0]).state == "ok"

    def test_a_card_whose_directory_is_gone_is_gone(self, tmp_path: Path) -> None:
        """The others keep theirs."""
        cards = [radeon_vii(0), radeon_vii(1)]
        devices = cards_of(write_tree(tmp_path, cards))
        first, second = devices.found()
        (tmp_path / "sys/bus/pci/devices" / cards[0].pci).unlink()
        assert devices.read(first) == Reading(state="gone")
        assert devices.read(second).state == "ok"

    def test_a_card_whose_driver_says_no_such_device_is_gone(self, tmp_path: Path) -> None:
        devices = AmdDevices(RefusingHost(write_tree(tmp_path, [radeon_vii(0)]), dict.fromkeys(RESET, errno.ENODEV)))
        assert devices.read(devices.found()[0]) == Reading(state="gone")

    def test_states_by_what_was_refused(self) -> None:
        assert [state_of(refused=count, lost=0) for count in (0, 1, 2)] == ["ok", "ok", "resetting"]
        assert state_of(refused=5, lost=2) == "gone"
