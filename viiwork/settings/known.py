"""Every setting that there is."""

from __future__ import annotations

from viiwork.settings.naming import LISTS, Tables, names_in, variable_of
from viiwork.settings.settings import Settings


def tables() -> Tables:
    """Every table of the file by its name."""
    return Settings.tables()


def names() -> list[str]:
    """Every setting: `api.port`."""
    return names_in(tables())


def variables() -> list[str]:
    """Every setting as a variable: `VIIWORK_API_PORT`."""
    return list(dict.fromkeys(variable_of(name) for name in names()))


def section_of(variable: str) -> str:
    """The table that a variable speaks of: `api`; empty where it speaks of none."""
    first, _, field = variable.lower().removeprefix("viiwork_").partition("_")
    return first if first in Settings.model_fields and not (first in LISTS and field) else ""
