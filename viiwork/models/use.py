"""Who has a model in use, as far as this computer's processes tell."""

from __future__ import annotations

from os.path import realpath
from pathlib import Path

from viiwork.errors import ViiworkError
from viiwork.models.find import find
from viiwork.models.shelf import Entry
from viiwork.processes import commands
from viiwork.settings import Settings

NAMED_BY = "VIIWORK_ENGINE_MODEL"
"""Every process of a fleet has the settings that it was started with in its environment."""


def users_of(entry: Entry, *, settings: Settings) -> list[int]:
    """The pids of engines that were started with its path, and of fleets that were told to serve it."""
    places = {entry.folder.resolve(), entry.files_at.resolve()}
    return [
        pid for pid, argv, env in commands() if _names(argv, places) or _serves(env.get(NAMED_BY, ""), places, settings)
    ]


def _names(argv: list[str], places: set[Path]) -> bool:
    """Whether an argument is such a path or lies in it, as in `--model PATH` and `--model=PATH`, by whatever links."""
    values = (word.partition("=")[2] if word.startswith("-") else word for word in argv)
    return any(_inside(Path(realpath(value)), places) for value in values if value.startswith("/"))


def _serves(model: str, places: set[Path], settings: Settings) -> bool:
    """`engine.model` may be a path or a name; of the built-in engines it is an alias, which is nowhere."""
    try:
        return bool(model) and _inside(find(model, settings=settings).resolve(), places)
    except ViiworkError:
        return False


def _inside(path: Path, places: set[Path]) -> bool:
    return any(path.is_relative_to(place) for place in places)
