"""Which models of the settings people have swapped for others: a file of the state directory, kept over restarts."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from viiwork.recipes.modelfacts import alias_of
from viiwork.settings import EngineSection, ServeEntry, Settings
from viiwork.statedir import write_private

FILE = "swaps.json"


def read_swaps(state_dir: Path) -> dict[str, str]:
    """By the alias that the settings give: which model is served in its place. A file that is not ours is none."""
    with suppress(OSError, ValueError):
        found = json.loads((state_dir / FILE).read_bytes())
        if isinstance(found, dict):
            return {str(alias): str(model) for alias, model in found.items()}
    return {}


def write_swaps(state_dir: Path, swaps: Mapping[str, str]) -> None:
    """Raises OSError."""
    write_private(state_dir / FILE, json.dumps(dict(swaps), indent=1) + "\n")


def with_swaps(settings: Settings, swaps: Mapping[str, str]) -> Settings:
    """The settings with each model that was swapped away replaced. Pure."""
    serve = tuple(_entry(entry, swaps) for entry in settings.serve)
    return settings.model_copy(update={"serve": serve, "engine": _engine(settings.engine, swaps)})


def told(settings: Settings, swaps: Mapping[str, str]) -> list[str]:
    """A line for each that these settings name. Pure."""
    return [
        f"{alias} was swapped for {swaps[alias]} (viiwork swap {alias_of(swaps[alias])} --to MODEL swaps again)."
        for alias in configured(settings)
        if alias in swaps
    ]


def configured(settings: Settings) -> dict[str, str]:
    """Each model of the settings by its alias. Pure."""
    engine = settings.engine
    if settings.serve:
        return {entry.alias or alias_of(entry.model): entry.model for entry in settings.serve}
    return {engine.alias or alias_of(engine.model): engine.model} if engine.model else {}


def after(settings: Settings, swaps: Mapping[str, str], *, model: str, to: str) -> dict[str, str]:
    """The swaps once the model that is served as `model` is `to`; one that is back is none any more. Pure."""
    names = configured(settings)
    served = {alias: alias_of(swaps[alias]) if alias in swaps else alias for alias in names}
    goes = next((alias for alias, now in served.items() if now == model), model)
    rest = {alias: other for alias, other in swaps.items() if alias != goes}
    return rest if names.get(goes) == to else {**rest, goes: to}


def _entry(entry: ServeEntry, swaps: Mapping[str, str]) -> ServeEntry:
    to = swaps.get(entry.alias or alias_of(entry.model))
    return entry if to is None else entry.model_copy(update={"model": to, "alias": None})


def _engine(engine: EngineSection, swaps: Mapping[str, str]) -> EngineSection:
    to = swaps.get(engine.alias or alias_of(engine.model)) if engine.model else None
    return engine if to is None else engine.model_copy(update={"model": to, "alias": None})
