"""Which of the models that a server lists a person means. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from viiwork.errors import SettingsError
from viiwork.recipes.modelfacts import alias_of

MANY = 8
LONGEST = 120
"""So many of a server's models are named to a person, and so many characters of each."""


def meant(wanted: str, names: Sequence[str]) -> str:
    """The name of the one model that is called `wanted`, or that VIIWork shows as `wanted`; empty where none is, or
    where several are shown so."""
    if wanted in names:
        return wanted
    shown_so = {name for name in names if wanted and _shown_as(name) == wanted}
    return shown_so.pop() if len(shown_so) == 1 else ""


def shown_address(url: str) -> str:
    """Without the name and password that may stand in it."""
    scheme, mark, rest = url.partition("://")
    return scheme + mark + rest.rpartition("@")[2]


def not_served(url: str, wanted: str) -> str:
    """`http://gpubox:8000 does not serve 'tiny'`."""
    return f"{shown_address(url)} does not serve '{wanted}'"


def serves(names: Sequence[str]) -> str:
    """`It serves a, b`."""
    return f"It serves {', '.join(name[:LONGEST] for name in names[:MANY])}"


def _shown_as(name: str) -> str:
    try:
        return alias_of(name)
    except SettingsError:  # nothing of it can stand in a name, so it is shown by an alias that a person gave it
        return ""
