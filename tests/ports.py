"""Ports that a test may promise to something that binds them later, or twice."""

from __future__ import annotations

import os
import random
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
LOWEST = 10_240
DRAWS = random.Random(os.getpid())
"""Of this process: those of its neighbours draw others."""


def free_port() -> int:
    """A port on loopback that is free and stays so until somebody asks for it by its number.

    Not one of those that the kernel gives to whoever names none, nor to connections: between two looks at one of them
    any of the many processes beside a test may have been given it.
    """
    ports = range(LOWEST, _first_given())
    for _ in range(100):
        port = DRAWS.choice(ports)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port
    raise AssertionError(f"no port from {ports.start} to {ports.stop} is free")


@contextmanager
def kept_port() -> Iterator[int]:
    """A port where nobody listens, and that nobody else may bind or is given meanwhile.

    Whoever sets SO_REUSEADDR, as servers do, may listen on it all the same.
    """
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind(("127.0.0.1", 0))
        yield int(holder.getsockname()[1])


def _first_given() -> int:
    """The first that the kernel gives by itself; where it does not say, as on most computers."""
    try:
        first = int(RANGE.read_text(encoding="ascii").split()[0])
    except OSError:
        return 32_768
    return first if first > LOWEST + 1000 else 32_768
