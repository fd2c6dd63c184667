"""What `viiwork doctor` must know of this computer: whether its clock is kept, and whether the ports are free."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from viiwork.devices.host import ROOT, Host
from viiwork.doctor import MachineFacts
from viiwork.errors import StartupError
from viiwork.fleet.ports import settle_ports
from viiwork.fleet.running import running_here
from viiwork.settings import Settings

SYNCED = "/run/systemd/timesync/synchronized"
"""systemd's own service makes it once it has set the clock."""
TIMEX_BYTES = 512
"""More than `struct timex` has anywhere; all zeros ask and change nothing."""
UNSYNCED = 5
"""`TIME_ERROR` of adjtimex(2): no service keeps the clock."""


def machine_facts(settings: Settings, *, at_work: bool = False, root: Path = ROOT) -> MachineFacts:
    """The clock and the ports. A port is tried by taking it for a moment, unless this fleet runs and has it.

    `at_work` says that its workers beat: of a fleet in containers there is no supervisor to be found.
    """
    doors = [] if settings.joined else [settings.api.port]
    ports = [*doors, *([settings.flower.port] if doors and settings.flower.enabled else [])]
    run = running_here(settings.state_dir)
    running = settings.joined or at_work or run is not None
    if run is not None and run.supervisor is not None:  # flags of `up` may have named others
        urls = (run.supervisor.api_url, run.supervisor.flower_url)
        ports = [port for url in urls if url and (port := urlsplit(url).port)]
    return MachineFacts(
        clock_synced=synced(Host(root)),
        ports=tuple(ports),
        running=running,
        port_error=None if running else refused(settings),
    )


def refused(settings: Settings) -> StartupError | None:
    """What `viiwork up` would say of the ports."""
    try:
        settle_ports(settings)
    except StartupError as error:
        return error
    return None


def kernel_clock() -> int:
    """The kernel's state of the clock; -1 where it does not tell."""
    try:
        return int(ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(TIMEX_BYTES)))
    except (AttributeError, OSError):
        return -1


def synced(host: Host, *, ask: Callable[[], int] = kernel_clock) -> bool | None:
    """Whether a time service keeps the clock: systemd's by its mark, any other by what the kernel knows."""
    if host.exists(SYNCED):
        return True
    state = ask()
    return None if state < 0 else state != UNSYNCED
