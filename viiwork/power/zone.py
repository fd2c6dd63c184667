"""The time zone that a schedule goes by: the one that the settings name, else this computer's own."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, tzinfo
from pathlib import Path
from zoneinfo import ZoneInfo

from viiwork.errors import SettingsError

LOCAL_TIME = Path("/etc/localtime")


def zone_of(name: str | None, *, environ: Mapping[str, str], local_time: Path = LOCAL_TIME) -> tzinfo:
    """The zone of that name; without one what `TZ` says, else the host's file, else UTC. Raises SettingsError."""
    if name:
        return _named(name)
    told = environ.get("TZ", "").removeprefix(":")
    try:
        return ZoneInfo(told)
    except (KeyError, ValueError, OSError):  # none, or one of the forms that are no name: EST5EDT,M3.2.0
        return _local(local_time)


def _named(name: str) -> tzinfo:
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        hint = "It is one such as Europe/Berlin; the system's package tzdata has them."
        raise SettingsError(f"power.timezone: {name} is not known.", hint=hint, param="power.timezone") from error


def _local(path: Path) -> tzinfo:
    try:
        with path.open("rb") as file:
            return ZoneInfo.from_file(file, key=str(path.resolve()).partition("zoneinfo/")[2] or None)
    except (OSError, ValueError):
        return UTC
