"""Engines of other fleets of this user on the cards that this one wants: a look, no lock."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from viiwork.fleet.plan import engine_names
from viiwork.guardrecord import ENGINE_OF, Person
from viiwork.processes import environments
from viiwork.recipes.cards import numbers
from viiwork.recipes.check import BUILT_IN
from viiwork.recipes.load import recipe_for
from viiwork.settings import Settings

PINS = "_VISIBLE_DEVICES"
"""How the name of a variable ends that shows an engine its cards; an engine without one has none."""


def shared_cards(settings: Settings, state_dir: Path) -> list[str]:
    """What to say of each card that an engine of another state directory runs on. Raises SettingsError."""
    workers = engine_names(settings)
    cards = {card for worker in workers for card in numbers(worker)}
    if settings.engine.kind in BUILT_IN or not cards or not recipe_for(settings.engine.kind, workers[0]).pin:
        return []
    return [told(card, others) for card, others in users(environments(), but=state_dir).items() if card in cards]


def users(running: Iterable[tuple[Person, Mapping[str, str]]], *, but: Path) -> dict[int, str]:
    """Whose engines run on which cards, by their marks: state directories, ours left out. Pure."""
    found: dict[int, str] = {}
    for _, environ in running:
        state_dir, _, worker = environ.get(ENGINE_OF, "").rpartition(":")
        if state_dir not in ("", str(but)) and any(name.endswith(PINS) for name in environ):
            found |= dict.fromkeys(numbers(worker), state_dir)
    return dict(sorted(found.items()))


def told(card: int, state_dir: str) -> str:
    """For people."""
    return (
        f"card {card} already has an engine of the fleet in {state_dir}: two engines take each other's memory. "
        f"Stop that fleet first (viiwork down --state-dir {state_dir}), or give this one other cards."
    )
