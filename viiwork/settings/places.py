"""Where a fleet keeps its files, where nobody says."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path


def default_state_dir(fleet: str, environ: Mapping[str, str]) -> Path:
    """`$XDG_STATE_HOME/viiwork/<fleet>`; a system service without a home gets `/var/lib/viiwork/<fleet>`."""
    base = environ.get("XDG_STATE_HOME")
    if base:
        return Path(base) / "viiwork" / fleet
    home = environ.get("HOME")
    return Path(home, ".local", "state", "viiwork", fleet) if home else Path("/var/lib/viiwork") / fleet


def default_models_dir(environ: Mapping[str, str]) -> Path:
    """`$XDG_DATA_HOME/viiwork/models`; a system service without a home gets `/var/lib/viiwork-models`."""
    base = environ.get("XDG_DATA_HOME")
    if base:
        return Path(base) / "viiwork" / "models"
    home = environ.get("HOME")
    return Path(home, ".local", "share", "viiwork", "models") if home else Path("/var/lib/viiwork-models")
