"""The units by which systemd runs a fleet, and caps its cards at boot. Pure: settings in, text out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from viiwork.deploy.template import fill
from viiwork.errors import UsageError

TEMPLATE, CAPS_TEMPLATE = "viiwork.service.j2", "viiwork-caps.service.j2"
SERVER_S, SLACK_S = 30.0, 30.0
"""From the last worker's end: the embedded server writes out what it has."""
UNSAFE = frozenset("\n\r\0")


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """What a fleet's unit says."""

    fleet: str
    program: Path
    """The `viiwork` command, by its whole path."""
    config: Path | None
    """The settings file; None: the settings' own defaults."""
    stop_s: int
    user: str = ""
    """Who it runs as; empty for a unit of a person's own systemd, which runs as that person."""
    groups: Sequence[str] = ()
    """Of the cards' device files."""
    state_dir: Path | None = None
    """Where its data is, if it is not below the unit's own `/var/lib/viiwork`."""
    writes_caps: bool = False
    """Its supervisor must reach root by sudo, which the hardening would forbid."""

    @property
    def name(self) -> str:
        """`viiwork.service`; of a fleet of another name `viiwork-night.service`."""
        return "viiwork.service" if self.fleet == "default" else f"viiwork-{self.fleet}.service"


def fleet_unit(unit: Unit) -> str:
    """The whole text. Raises UsageError for a path that a unit cannot name."""
    return fill(TEMPLATE, unit=unit, command=command(unit.program, "up", config=unit.config))


def caps_unit(program: Path, *, watts: int) -> str:
    """A unit of root's that caps all cards once at each start of the computer."""
    return fill(CAPS_TEMPLATE, watts=watts, command=command(program, "power", "set", str(watts), "--all"))


def command(program: Path, *words: str, config: Path | None = None) -> str:
    """An `ExecStart=`, each word quoted as systemd reads it. Raises UsageError."""
    given = [str(program), *words, *(["--config", str(config)] if config else [])]
    return " ".join(quoted(word) for word in given)


def quoted(word: str) -> str:
    """One word of a unit's command: systemd takes `%` and `$` for its own. Raises UsageError."""
    if UNSAFE & set(word):
        raise UsageError(f"{word!r} cannot stand in a unit.", hint="Take a path without a line break.")
    plain = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return plain if plain == word and not set(" \t'") & set(word) else f'"{plain}"'


def stop_s(*, drain_s: float, engine_end_s: float) -> int:
    """How long a whole fleet may take to stop: engines drain and end, then readers, the API, Flower and the server."""
    return math.ceil((drain_s + 10 + engine_end_s) + (drain_s + 10) + 10 + 5 + SERVER_S + SLACK_S)
