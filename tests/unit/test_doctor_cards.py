"""Checks of the cards in `viiwork doctor`: on trees as the kernel makes them, and each verdict on its own."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from tests.fakes.cards import GIB, FakeCard, device_folder, mi250x, radeon_vii, write, write_tree
from viiwork.devices import Device, Link, Reading
from viiwork.devices.access import DeviceFile, Person, device_file
from viiwork.devices.holders import Holder
from viiwork.devices.host import Host
from viiwork.doctor import CardFacts, CardsFacts, Finding, Verdict, of_cards
from viiwork.doctor.cards import cards as cards_check
from viiwork.doctor.cards import driver, dtype, groups, iommu, kfd, numbers, render_nodes, rocm, suited
from viiwork.doctor.cardstate import caps, health, links, memory
from viiwork.fleet.cardroom import cards_facts
from viiwork.settings import EngineSection, FleetSection, Settings, WorkersSection

OK, WARN, FAIL = Verdict.OK, Verdict.WARN, Verdict.FAIL
DEVICE = Device("GPU-1", "amd", 0, "Radeon VII", "gfx906", 16 * GIB, pci="0000:03:00.0", render_minor=128)
READING = Reading("ok", vram_used_bytes=0, cap_w=180.0, cap_default_w=250.0, link=Link(8.0, 16, 8.0, 16))
CARD = CardFacts(DEVICE, READING)
KFD_FILE = DeviceFile("/dev/kfd", there=True, openable=True, gid=109, group="render", has_group=True)
NODE = replace(KFD_FILE, path="/dev/dri/renderD128")
WANTED = CardsFacts(
    engine="vllm-gfx906",
    gpus=1,
    wanted=1,
    wants_amd=True,
    open=1,
    cards=(CARD,),
    driver=True,
    kfd=KFD_FILE,
    nodes=(NODE,),
    user="kim",
)
UNWANTED = replace(WANTED, engine="extractive", gpus=0, wanted=0, wants_amd=False)


def settings_of(place: Path, *, gpus: int = 0, kind: str = "vllm-gfx906") -> Settings:
    return Settings(
        engine=EngineSection(kind=kind),
        workers=WorkersSection(gpus=gpus),
        fleet=FleetSection(state_dir=place / "state"),
    )


def examined(
    root: Path, *, gpus: int = 0, kind: str = "vllm-gfx906", environ: Mapping[str, str] | None = None
) -> dict[str, Finding]:
    """All findings of the cards of this machine, by check."""
    facts = cards_facts(settings_of(root, gpus=gpus, kind=kind), environ or {}, root=root)
    found = of_cards(facts)
    assert len({finding.check for finding in found}) == len(found)
    assert [finding for finding in found if finding.verdict is not OK and not finding.advice] == []
    return {finding.check: finding for finding in found}


def machine(root: Path, *cards: FakeCard, closed: tuple[FakeCard, ...] = ()) -> Path:
    """These cards with nothing in their memory, on a system that suits them."""
    write_tree(root, cards, closed=closed)
    write(root, "sys/module/amdgpu/initstate", "live")
    write(root, "etc/group", f"root:x:0:\nrender:x:{os.getegid()}:kim,lee")
    for card in cards:
        write(device_folder(root, card), "mem_info_vram_used", str(10 << 20))
    return root


def with_reading(reading: Reading, facts: CardsFacts = WANTED) -> CardsFacts:
    return replace(facts, cards=(replace(CARD, reading=reading),))


class TestMachines:
    @pytest.mark.parametrize("count", [1, 4])
    def test_cards_on_a_system_that_suits_them_pass_every_check(self, tmp_path: Path, count: int) -> None:
        cards = [radeon_vii(number, cap_w=180) for number in range(count)]
        found = examined(machine(tmp_path, *cards), gpus=count)
        assert {check: finding.found for check, finding in found.items() if finding.verdict is not OK} == {}
        assert found["Cards"].found == f"{count} wanted, {count} can be opened: {count} Radeon VII (gfx906, 16 GiB)"
        assert found["Card driver"].found == "amdgpu is loaded"

    def test_a_machine_without_cards_is_fine_as_long_as_none_is_wanted(self, tmp_path: Path) -> None:
        """One line says so; nothing else is asked of it."""
        found = examined(tmp_path)
        assert {check: finding.verdict for check, finding in found.items()} == {"Cards": OK}
        assert "none found and none wanted (workers.gpus is 0)" in found["Cards"].found

    def test_it_fails_where_cards_are_wanted_and_says_what_was_looked_for(self, tmp_path: Path) -> None:
        finding = examined(tmp_path, gpus=2)["Cards"]
        assert finding.verdict is FAIL
        assert "2 wanted, none can be opened. AMD: there is no /dev/kfd" in finding.found
        assert "workers.gpus to 0" in finding.advice
        assert "--devices simulated:4xRadeonVII" in finding.advice

    def test_an_engine_of_both_makers_is_on_the_cards_that_there_are(self, tmp_path: Path) -> None:
        """llama.cpp is pinned by CUDA's variable, which its build for AMD heeds."""
        machine(tmp_path, radeon_vii(0))
        facts = cards_facts(settings_of(tmp_path, gpus=1, kind="llama-cpp"), {}, root=tmp_path)
        assert (facts.wanted, facts.wants_amd, facts.open) == (1, True, 1)

    def test_built_in_engines_want_no_card(self, tmp_path: Path) -> None:
        """The simulated one also has workers that are called gpu0."""
        finding = examined(tmp_path, gpus=4, kind="simulated")["Cards"]
        assert (finding.verdict, "the engine simulated needs none" in finding.found) == (OK, True)

    def test_more_cards_wanted_than_there_are(self, tmp_path: Path) -> None:
        finding = examined(machine(tmp_path, radeon_vii(0), radeon_vii(1)), gpus=3)["Cards"]
        assert finding.verdict is FAIL
        assert finding.found == "3 wanted, 2 can be opened; there are 2 Radeon VII (gfx906, 16 GiB)"
        assert finding.advice.endswith("or set workers.gpus to 2.")

    def test_a_container_that_was_given_one_card_of_two(self, tmp_path: Path) -> None:
        """The other one is no fault of it."""
        shut = radeon_vii(1)
        found = examined(machine(tmp_path, radeon_vii(0, cap_w=180), shut, closed=(shut,)), gpus=1)
        assert {finding.verdict for finding in found.values()} == {OK}
        assert "1 of 2 are here; not /dev/dri/renderD129" in found["Render nodes"].found

    def test_a_card_without_its_driver_is_seen_on_the_bus(self, tmp_path: Path) -> None:
        write(tmp_path, "sys/bus/pci/devices/0000:03:00.0/vendor", "0x1002")
        write(tmp_path, "sys/bus/pci/devices/0000:03:00.0/class", "0x030000")
        write(tmp_path, "sys/bus/pci/devices/0000:00:00.0/vendor", "0x1022")
        found = examined(tmp_path)
        assert (found["Card driver"].verdict, found["/dev/kfd"].verdict) == (WARN, WARN)
        assert "AMD cards on the bus: 1" in found["Card driver"].found
        assert "modprobe amdgpu" in found["Card driver"].advice
        assert examined(tmp_path, gpus=1)["Card driver"].verdict is FAIL

    def test_an_iommu_that_translates_is_a_hint(self, tmp_path: Path) -> None:
        card = radeon_vii(0)
        machine(tmp_path, card)
        write(tmp_path, "sys/class/iommu/ivhd0/devices", "")
        write(tmp_path, "proc/cmdline", "quiet splash")
        assert "iommu=pt" in examined(tmp_path)["IOMMU"].advice
        write(tmp_path, "proc/cmdline", "quiet iommu=pt")
        assert examined(tmp_path)["IOMMU"].verdict is OK
        write(device_folder(tmp_path, card), "iommu_group/type", "DMA-FQ")
        assert "DMA-FQ" in examined(tmp_path)["IOMMU"].found
        write(device_folder(tmp_path, card), "iommu_group/type", "identity")
        assert examined(tmp_path)["IOMMU"].verdict is OK

    def test_rocm_and_its_override_are_read_where_they_are(self, tmp_path: Path) -> None:
        machine(tmp_path, radeon_vii(0))
        write(tmp_path, "opt/rocm/.info/version", "7.14.0-12")
        assert examined(tmp_path, environ={})["ROCm"].found == "ROCm 7.14.0-12"
        finding = examined(tmp_path, gpus=1, environ={"HSA_OVERRIDE_GFX_VERSION": "9.0.6"})["ROCm"]
        assert (finding.verdict, "must not be set" in finding.advice) == (FAIL, True)

    def test_a_card_on_a_riser_is_told_with_what_that_means(self, tmp_path: Path) -> None:
        finding = examined(machine(tmp_path, radeon_vii(0, slot_lanes=1), radeon_vii(1)), gpus=2)["Card links"]
        assert (finding.verdict, finding.found) == (WARN, "gpu0 has x1 of x16 at 8 GT/s")
        assert "7 to 20 %" in finding.advice

    def test_a_process_that_holds_a_cards_memory_is_named(self, tmp_path: Path) -> None:
        """By KFD's list, and by what its open files say; the same memory is counted once."""
        card = radeon_vii(0)
        machine(tmp_path, card)
        write(device_folder(tmp_path, card), "mem_info_vram_used", str(14 * GIB))
        nobody = examined(tmp_path, gpus=1)["Card memory"]
        assert (nobody.verdict, "processes that this user cannot see" in nobody.found) == (FAIL, True)
        write(tmp_path, "sys/class/kfd/kfd/topology/nodes/1/gpu_id", "54321")
        write(tmp_path, "sys/class/kfd/kfd/proc/4711/vram_54321", str(13 * GIB))
        write(tmp_path, "proc/4711/comm", "VLLM::EngineCor")
        fdinfo = f"drm-driver:\tamdgpu\ndrm-pdev:\t{card.pci}\ndrm-client-id:\t7\ndrm-memory-vram:\t{14 << 20} KiB"
        for number in (5, 6):  # two files of one client
            write(tmp_path, f"proc/4711/fdinfo/{number}", fdinfo)
            (tmp_path / "proc/4711/fd").mkdir(exist_ok=True)
            (tmp_path / f"proc/4711/fd/{number}").symlink_to(f"/dev/dri/renderD{card.minor}")
        finding = examined(tmp_path, gpus=1)["Card memory"]
        assert finding.found == "gpu0: 14.0 GiB of 16.0 GiB held by 4711 (VLLM::EngineCor)"
        assert "SIGKILL" in finding.advice
        assert examined(tmp_path)["Card memory"].verdict is WARN

    def test_a_card_that_is_no_gfx906_is_left_to_itself(self, tmp_path: Path) -> None:
        found = examined(machine(tmp_path, *mi250x(0)), environ={"HSA_OVERRIDE_GFX_VERSION": "9.0.10"})
        assert (found["Engine for the cards"].verdict, found["ROCm"].verdict) == (OK, OK)


class TestDeviceFiles:
    def test_a_file_knows_its_group_by_number_and_name(self, tmp_path: Path) -> None:
        write(tmp_path, "dev/kfd", "")
        gid = (tmp_path / "dev/kfd").stat().st_gid
        write(tmp_path, "etc/group", f"odd line\nrender:x:{gid}:kim,lee\nvideo:x:notanumber:")
        found = device_file(Host(tmp_path), "/dev/kfd", Person("lee", frozenset()))
        assert (found.gid, found.group, found.is_member, found.has_group) == (gid, "render", True, False)
        assert device_file(Host(tmp_path), "/dev/kfd", Person("max", frozenset({gid}))).has_group
        assert not device_file(Host(tmp_path), "/dev/dri/renderD128", Person("lee", frozenset())).there

    @pytest.mark.parametrize(
        ("changes", "advice"),
        [
            ({}, "sudo usermod -aG render kim, then log in again; a container gets --group-add 109."),
            ({"is_member": True}, "kim is in render (109) since the last log-in: log in again."),
            ({"group": ""}, "Give the container the group by number: --group-add 109, in compose group_add: ['109']."),
            ({"has_group": True}, "check its mode"),
        ],
    )
    def test_the_way_in_depends_on_what_is_missing(self, changes: dict[str, object], advice: str) -> None:
        shut = replace(KFD_FILE, openable=False, has_group=False)
        shut = replace(shut, **changes)  # type: ignore[arg-type] # a dict of many types
        facts = replace(WANTED, kfd=shut)
        assert advice in groups(facts).advice
        assert (groups(facts).verdict, kfd(facts).found) == (FAIL, "kim may not open it")
        assert groups(replace(UNWANTED, kfd=shut)).verdict is WARN

    def test_two_groups_are_both_named(self) -> None:
        """Some systems give cards to video and the compute file to render."""
        video = replace(NODE, gid=44, group="video", openable=False, has_group=False)
        finding = groups(replace(WANTED, nodes=(video,)))
        assert finding.found == "the device files belong to render (109), video (44)"
        assert "usermod -aG video kim" in finding.advice
        assert render_nodes(replace(WANTED, nodes=(video,))).advice == "See Groups below."

    def test_a_node_that_is_missing_where_it_is_needed_fails(self) -> None:
        gone = DeviceFile("/dev/dri/renderD129", there=False, openable=False)
        assert render_nodes(replace(WANTED, wanted=2, nodes=(NODE, gone))).verdict is FAIL
        assert kfd(replace(WANTED, kfd=DeviceFile("/dev/kfd", there=False, openable=False))).verdict is FAIL
        assert driver(replace(WANTED, driver=False)).verdict is OK


class TestSystem:
    @pytest.mark.parametrize(
        ("version", "override", "verdict"),
        [
            ("", "", OK),
            ("6.3.3-74", "", OK),
            ("7.2.1", "", WARN),
            ("7.2.1", "9.0.6", OK),
            ("7.2.1", "10.3.0", FAIL),
            ("7.14.0", "", OK),
            ("7.14.0", "9.0.6", FAIL),
            ("8.0", "9.0.6", FAIL),
            ("of my own", "", OK),
        ],
    )
    def test_the_override_goes_with_some_versions_of_rocm(self, version: str, override: str, verdict: Verdict) -> None:
        assert rocm(replace(WANTED, rocm=version, gfx_override=override)).verdict is verdict

    def test_a_version_is_its_numbers(self) -> None:
        assert (numbers("6.3.3-74"), numbers(""), numbers("x.1")) == ((6, 3, 3), (), ())

    @pytest.mark.parametrize(
        ("engine", "args", "verdict"),
        [
            ("vllm-gfx906", (), OK),
            ("llama-cpp", (), OK),
            ("vllm-gfx906", ("--dtype=bfloat16",), FAIL),
            ("vllm-gfx906", ("--dtype", "bf16", "--dtype", "half"), OK),
            ("vllm", (), FAIL),
            ("tgi", (), FAIL),
            ("./my.toml", (), WARN),
        ],
    )
    def test_few_engines_have_code_for_gfx906(self, engine: str, args: tuple[str, ...], verdict: Verdict) -> None:
        assert suited(replace(WANTED, engine=engine, args=args)).verdict is verdict
        assert suited(replace(UNWANTED, engine=engine, args=args)).verdict is OK

    def test_the_last_dtype_counts(self) -> None:
        assert (dtype(("--dtype",)), dtype(("--dtype=half", "--dtype", "BFloat16"))) == ("", "bfloat16")

    def test_an_iommu_that_is_off_needs_nothing(self) -> None:
        assert iommu(WANTED).found == "off"

    def test_cards_that_are_there_and_unused_are_told(self) -> None:
        assert cards_check(UNWANTED).found == "1 Radeon VII (gfx906, 16 GiB); none is used: workers.gpus is 0"


class TestStates:
    def test_a_card_in_reset_fails_with_what_to_look_for(self) -> None:
        for state in ("resetting", "gone"):
            finding = health(with_reading(Reading(state)))  # type: ignore[arg-type] # a word of a list of words
            assert (finding.verdict, finding.found) == (FAIL, f"gpu0 is {state}")
            assert "ret -62" in finding.advice
            assert health(with_reading(Reading(state), UNWANTED)).verdict is WARN  # type: ignore[arg-type] # as above

    def test_memory_of_this_fleets_own_engines_is_no_fault(self) -> None:
        full = replace(READING, vram_used_bytes=15 * GIB)
        ours = replace(CARD, reading=full, ours_bytes=15 * GIB)
        assert memory(replace(WANTED, cards=(ours,))).verdict is OK

    def test_while_engines_run_memory_that_nobody_is_known_to_hold_is_theirs(self) -> None:
        """Whose it is cannot be seen everywhere; a stranger that is seen counts all the same."""
        full = with_reading(replace(READING, vram_used_bytes=15 * GIB))
        assert memory(full).verdict is FAIL
        assert memory(replace(full, running=True)).verdict is OK
        stranger = replace(full.cards[0], strangers=(Holder(7, "", 4 * GIB),))
        finding = memory(replace(full, running=True, cards=(stranger,)))
        assert (finding.verdict, finding.found) == (FAIL, "gpu0: 4.0 GiB of 16.0 GiB held by 7 (not seen from here)")

    def test_a_desktop_on_a_card_is_only_warned_of_if_an_engine_still_fits(self) -> None:
        assert memory(with_reading(replace(READING, vram_used_bytes=GIB // 2))).verdict is OK
        assert memory(with_reading(replace(READING, vram_used_bytes=GIB * 5 // 4))).verdict is WARN
        assert memory(with_reading(Reading("ok"))).found == "the cards do not tell"

    def test_a_slow_link_counts_only_at_work(self) -> None:
        """A card at rest may clock it down."""
        slow = replace(READING, link=Link(2.5, 16, 8.0, 16), busy_percent=0.0)
        assert links(with_reading(slow)).verdict is OK
        assert "look again under load" in links(with_reading(slow)).found
        busy = links(with_reading(replace(slow, busy_percent=90.0)))
        assert (busy.verdict, busy.found) == (WARN, "gpu0 has x16 at 2.5 of 8 GT/s")
        assert links(with_reading(Reading("ok"))).found == "a link of which nothing is told"
        half = links(with_reading(replace(READING, link=Link(8.0, 8, 8.0, 16))))
        assert (half.verdict, half.found) == (WARN, "gpu0 has x8 of x16 at 8 GT/s")

    def test_many_cards_at_their_default_caps_are_warned_of(self) -> None:
        loud = replace(CARD, reading=replace(READING, cap_w=250.0))
        assert caps(replace(WANTED, cards=(loud,) * 3)).verdict is OK
        finding = caps(replace(WANTED, cards=(loud,) * 4))
        assert (finding.verdict, finding.found) == (WARN, "1000 W over 4 cards (250 W each), the default")
        assert "viiwork power set 180 --all" in finding.advice
        assert caps(replace(WANTED, cards=(loud, CARD))).found == "430 W over 2 cards (180 to 250 W each)"
        assert caps(with_reading(Reading("ok"))).found == "the cards do not tell"
