"""systemd as it is here: where units lie, what it says of them, and what it is told."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from viiwork.errors import StartupError

BOOTED = Path("run/systemd/system")
"""There where systemd has started the computer: see sd_booted(3)."""
SYSTEM_UNITS = Path("/etc/systemd/system")
CAPS = "viiwork-caps.service"
"""Caps all cards of the computer, whichever fleet has them."""
FLEETS = "viiwork*.service"
PATIENCE_S = 600.0
"""Stopping a fleet drains it."""


@dataclass(frozen=True, slots=True)
class UnitState:
    """What systemd says of one unit."""

    unit: str
    file: str
    """Where it lies; empty where it is not installed."""
    active: str = "unknown"
    """`active`, `inactive`, `failed`, … ; `unknown` where systemd does not run."""
    enabled: str = "unknown"
    pid: int = 0
    restarts: int = 0


class Systemd:
    """The system's, or with `user` a person's own."""

    def __init__(self, *, user: bool, environ: Mapping[str, str], root: Path = Path("/")) -> None:
        self._user = user
        self._environ = environ
        self._root = root

    @property
    def folder(self) -> Path:
        """Where the units of this systemd are kept that its owner has written."""
        if not self._user:
            return self._root / SYSTEM_UNITS.relative_to("/")
        config = self._environ.get("XDG_CONFIG_HOME") or str(
            Path(self._environ.get("HOME", "~")).expanduser() / ".config"
        )
        return Path(config) / "systemd" / "user"

    @property
    def runs(self) -> bool:
        """Whether it has started this computer."""
        return (self._root / BOOTED).is_dir()

    def require(self) -> None:
        """Raises StartupError where there is none to be told anything."""
        if not self.runs:
            hint = "With --dry-run the unit is only shown. Containers: see docs/deploy.md."
            raise StartupError("systemd does not run this computer, as in most containers.", hint=hint)
        if not self._user and os.geteuid() != 0:
            hint = "Run it with sudo, or take --user for a service of your own; --dry-run only shows the unit."
            raise StartupError("only root may install a service for the whole computer.", hint=hint)

    def install(self, units: Mapping[str, str]) -> None:
        """Write these units and start them, now and at every boot. Raises StartupError."""
        for name, text in units.items():
            _write(self.folder / name, text)
        self._tell("daemon-reload")
        self._tell("enable", *units)
        self._tell("restart", *units)

    def uninstall(self, names: Sequence[str]) -> tuple[Path, ...]:
        """Stop these units, in order, and remove them; those that were there. Raises StartupError."""
        there = [name for name in names if (self.folder / name).exists()]
        for name in there:
            self._tell("disable", "--now", name)
            (self.folder / name).unlink(missing_ok=True)
        if there:
            self._tell("daemon-reload")
        return tuple(self.folder / name for name in there)

    def fleets(self) -> tuple[str, ...]:
        """The units of fleets that are installed here, by their names."""
        found = (path.name for path in self.folder.glob(FLEETS) if path.is_file())
        return tuple(sorted(name for name in found if name != CAPS))

    def state(self, name: str) -> UnitState:
        """What it says of one unit."""
        file = self.folder / name
        found = UnitState(name, str(file) if file.is_file() else "")
        if not self.runs:
            return found
        told = self._ask("show", name, "--property=ActiveState,UnitFileState,MainPID,NRestarts")
        said = dict(line.split("=", 1) for line in told.splitlines() if "=" in line)
        return UnitState(
            unit=name,
            file=found.file,
            active=said.get("ActiveState", "") or "unknown",
            enabled=said.get("UnitFileState", "") or "unknown",
            pid=_number(said.get("MainPID", "")),
            restarts=_number(said.get("NRestarts", "")),
        )

    def _tell(self, *words: str) -> None:
        done = self._call(*words)
        if done.returncode != 0:
            reason = " ".join(done.stderr.split())[-300:] or f"it ended with {done.returncode}"
            hint = f"See `journalctl {'--user ' if self._user else ''}--unit viiwork`."
            raise StartupError(f"systemctl {words[0]}: {reason}", hint=hint)

    def _ask(self, *words: str) -> str:
        return self._call(*words).stdout

    def _call(self, *words: str) -> subprocess.CompletedProcess[str]:
        argv = ["systemctl", *(("--user",) if self._user else ()), *words]
        try:
            return subprocess.run(  # noqa: S603 - a fixed program and names of ours
                argv, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL, timeout=PATIENCE_S
            )
        except FileNotFoundError as error:
            raise StartupError("systemctl is not on this computer.", hint="It comes with systemd.") from error
        except subprocess.TimeoutExpired as error:
            raise StartupError(f"systemctl {words[0]} does not end.", hint="See `systemctl status`.") from error


def _number(written: str) -> int:
    return int(written) if written.isdigit() else 0


def _write(file: Path, text: str) -> None:
    """In one move, so that systemd never reads half of it. Raises StartupError."""
    partial = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(text, encoding="utf-8")
        partial.chmod(0o644)
        partial.replace(file)
    except OSError as error:
        with suppress(OSError):
            partial.unlink()
        raise StartupError(f"{file}: {os.strerror(error.errno) if error.errno else 'it cannot be written'}.") from error
