"""Checks of this computer itself: its clock, and the ports that a fleet would take. Each is pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from viiwork.doctor.finding import Finding, fail, ok, warn
from viiwork.errors import ViiworkError


@dataclass(frozen=True, slots=True)
class MachineFacts:
    """What is asked of the computer."""

    clock_synced: bool | None
    """By a time service; None where the system does not tell."""
    ports: tuple[int, ...]
    """That the settings name."""
    running: bool = False
    """Whether this fleet runs here, so that they are its own."""
    port_error: ViiworkError | None = None
    """Why `viiwork up` could not have them."""


def clock(machine: MachineFacts) -> Finding:
    """Leases go by Redis' clock; dates, certificates and schedules by this one."""
    if machine.clock_synced is None:
        return ok("Time service", "the system does not tell whether it keeps the clock")
    if machine.clock_synced:
        return ok("Time service", "keeps the clock")
    advice = "Start one: sudo timedatectl set-ntp true, or install chrony."
    return warn("Time service", "none has set the clock since the start", advice)


def ports(machine: MachineFacts) -> Finding:
    """Each is taken by one program at a time."""
    if not machine.ports:
        return ok("Ports", "none is needed here")
    named = ", ".join(str(port) for port in machine.ports if port) or "any that are free"
    if machine.port_error is not None:
        return fail("Ports", machine.port_error.message, machine.port_error.hint)
    return ok("Ports", f"{named}: this fleet has them" if machine.running else f"{named}: free")


CHECKS: tuple[Callable[[MachineFacts], Finding], ...] = (clock, ports)
