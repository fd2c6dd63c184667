"""What the embedded server is told: durable, private, bounded. Pure but for the question how much RAM there is."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from viiwork.settings import Settings

GIB = 1024**3
CGROUP_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))


@dataclass(frozen=True, slots=True)
class Address:
    """Where the server listens: a unix socket, or a port on loopback."""

    socket: str | None = None
    port: int | None = None


def server_config(address: Address, *, data: Path, password: str, limit_bytes: int) -> str:
    """The server's configuration file. Its password stands here and in the secret file only, both 0600."""
    lines = [
        f"port {address.port or 0}",
        "bind 127.0.0.1",
        "protected-mode yes",
        f"requirepass {password}",
        "daemonize no",
        "supervised no",
        f"dir {quoted(str(data))}",
        'logfile ""',
        "appendonly yes",
        "appendfsync everysec",
        'save ""',
        f"maxmemory {limit_bytes}",
        "maxmemory-policy noeviction",
        "tcp-keepalive 60",
        "databases 16",
        "repl-diskless-sync-delay 0",  # there are no replicas to wait for: a backup may begin at once
        "slowlog-max-len 0",  # it quotes commands, prompts among them, and nothing that is deleted goes out of it
    ]
    if address.socket:
        lines += [f"unixsocket {quoted(address.socket)}", "unixsocketperm 700"]
    return "\n".join(lines) + "\n"


def quoted(text: str) -> str:
    """A word of a Redis configuration file, whatever is in it."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\r", "\\r")
    return f'"{escaped}"'


def max_memory_bytes(settings: Settings) -> int:
    """The setting, else the smaller of a quarter of the RAM and 4 GiB."""
    return settings.redis.max_memory_bytes or min(ram_bytes() // 4, 4 * GIB)


def ram_bytes() -> int:
    """The machine's RAM, or the container's limit where that is less."""
    ram = psutil.virtual_memory().total
    for path in CGROUP_LIMITS:
        with suppress(OSError, ValueError):
            ram = min(ram, int(path.read_text(encoding="ascii")))
    return ram
