"""Who listens where an engine is awaited: any user of the machine could have taken the port first."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Literal

Owner = Literal["ours", "another", "unknown"]
"""unknown: the system does not show it, as of an engine in a container of another user."""
TABLES = ("net/tcp", "net/tcp6")
LISTENS = "0A"
FOR_LOOPBACK = frozenset({"0100007F", "00000000", "0" * 32, "0000000000000000FFFF00000100007F"})
"""Local addresses at which a connection to 127.0.0.1 arrives, as the kernel writes them on machines that we know."""
ROOT = 0
SOCKET = re.compile(r"socket:\[(\d+)\]")


def owner(port: int, pids: Iterable[int], *, proc: Path = Path("/proc")) -> Owner:
    """Whether whoever listens at this loopback port is one of these processes."""
    uids = listeners(port, proc=proc)
    if not uids:
        return "unknown"
    held: set[int] = set()
    hidden: set[int] = set()
    """Users of processes whose sockets cannot be seen."""
    for pid in pids:
        sockets = _sockets(proc / str(pid))
        if sockets is None:
            hidden |= _uids(proc / str(pid))
        else:
            held |= sockets
    strange = {uid for inode, uid in uids.items() if inode not in held}
    if not strange:
        return "ours"
    # What runs as root need not steal a port; a container's traffic comes through such a process.
    excused = hidden if os.getuid() == ROOT else hidden | {ROOT}
    return "unknown" if strange <= excused else "another"


def listeners(port: int, *, proc: Path = Path("/proc")) -> Mapping[int, int]:
    """The sockets that connections to this port of 127.0.0.1 may reach, by inode, and whose they are."""
    found: dict[int, int] = {}
    for table in TABLES:
        with suppress(OSError):
            for line in (proc / table).read_text(encoding="ascii").splitlines()[1:]:
                fields = line.split()
                address, _, at = fields[1].rpartition(":")
                if fields[3] == LISTENS and int(at, 16) == port and address in FOR_LOOPBACK:
                    found[int(fields[9])] = int(fields[7])
    return found


def _sockets(process: Path) -> set[int] | None:
    """By inode; None when they are not shown."""
    try:
        handles = list((process / "fd").iterdir())
    except PermissionError:
        return None
    except OSError:  # it is gone
        return set()
    found = set()
    for handle in handles:
        with suppress(OSError):
            if socket := SOCKET.match(os.readlink(handle)):  # noqa: PTH115 - a socket's name is no path
                found.add(int(socket[1]))
    return found


def _uids(process: Path) -> set[int]:
    with suppress(OSError):
        for line in (process / "status").read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("Uid:"):
                return {int(uid) for uid in line.split()[1:]}
    return set()
