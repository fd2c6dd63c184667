"""The settings' names: in the file, as variables, and the one that may be meant. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches

from viiwork.settings.section import Section

Tables = Mapping[str, type[Section]]
"""Every table of the file by its name."""
SCHEDULE, SERVE = "schedule", "serve"
LISTS = (SCHEDULE, SERVE)
"""The tables that are lists of tables, and one variable each."""


def names_in(known: Tables) -> list[str]:
    """Every setting of these tables: `api.port`."""
    return [f"{name}.{field}" for name, section in known.items() for field in section.model_fields]


def variable_of(name: str) -> str:
    """`api.port` → `VIIWORK_API_PORT`. The fields of a list of tables have one for them all."""
    table = name.partition(".")[0]
    return f"VIIWORK_{(table if table in LISTS else name).replace('.', '_')}".upper()


def meant(name: str, known: Iterable[str]) -> str:
    """The nearest of the known names; empty where none is near."""
    return next(iter(get_close_matches(name, list(known), n=1)), "")


def did_you_mean(name: str, known: Tables, *, as_variable: bool = False) -> str:
    """`Did you mean queue.beat_s? `, or nothing. What is right but for its table is looked for in the others."""
    section, _, field = name.rpartition(".")
    names = names_in(known)
    nearest = meant(field, (each.partition(".")[2] for each in names if each.startswith(f"{section}.")))
    elsewhere = [each for each in names if each.partition(".")[2] == field]
    found = f"{section}.{nearest}" if nearest else next(iter(elsewhere), "")
    return f"Did you mean {variable_of(found) if as_variable else found}? " if found else ""
