"""Checks of the computer itself in `viiwork doctor`: its clock, and the ports that a fleet would take."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.fakes.cards import write
from viiwork.devices.host import Host
from viiwork.doctor import MachineFacts, Verdict
from viiwork.doctor.machine import clock, ports
from viiwork.fleet.machineroom import SYNCED, UNSYNCED, kernel_clock, machine_facts, synced
from viiwork.settings import ApiSection, FleetSection, FlowerSection, Settings


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that another program listens on."""
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        yield server.getsockname()[1]


def settings_of(place: Path, *, port: int) -> Settings:
    return Settings(
        api=ApiSection(port=port), flower=FlowerSection(enabled=False), fleet=FleetSection(state_dir=place / "state")
    )


@pytest.mark.parametrize(("known", "verdict"), [(True, Verdict.OK), (False, Verdict.WARN), (None, Verdict.OK)])
def test_a_clock_that_nobody_keeps_is_warned_of(known: bool | None, verdict: Verdict) -> None:
    """A system that does not tell is not accused."""
    assert clock(MachineFacts(known, ())).verdict is verdict


def test_systemd_says_it_by_a_file_and_the_kernel_for_any_other_service(tmp_path: Path) -> None:
    host = Host(tmp_path)
    assert [synced(host, ask=lambda state=state: state) for state in (0, UNSYNCED, -1)] == [True, False, None]
    write(tmp_path, SYNCED.lstrip("/"), "")
    assert synced(host, ask=lambda: UNSYNCED) is True


def test_the_kernel_may_be_asked_by_anybody() -> None:
    """adjtimex(2) with nothing to change; a sandbox may refuse."""
    assert kernel_clock() in range(-1, UNSYNCED + 1)


def test_a_port_that_another_program_has_fails_with_what_to_do(tmp_path: Path, taken: int) -> None:
    finding = ports(machine_facts(settings_of(tmp_path, port=taken), root=tmp_path))
    assert (finding.verdict, f"port {taken}" in finding.found) == (Verdict.FAIL, True)
    assert "--port" in finding.advice


def test_a_fleet_that_works_has_them_itself(tmp_path: Path, taken: int) -> None:
    finding = ports(machine_facts(settings_of(tmp_path, port=taken), at_work=True, root=tmp_path))
    assert (finding.verdict, finding.found) == (Verdict.OK, f"{taken}: this fleet has them")


def test_free_ones_are_said_to_be(tmp_path: Path) -> None:
    assert ports(machine_facts(settings_of(tmp_path, port=0), root=tmp_path)).found == "any that are free: free"
