"""Which cards each engine worker has, as far as that is known."""

from __future__ import annotations

from collections.abc import Callable

from viiwork.fleet.capkeeper import Placements
from viiwork.fleet.cards import card_ids
from viiwork.recipes.cards import numbers
from viiwork.settings import Settings


class KnownCards:
    """Each engine worker's cards: as they were planned, else the one of its number once that is there."""

    def __init__(self, settings: Settings, placements: Callable[[], Placements]) -> None:
        self._settings = settings
        self._placements = placements
        self._found: dict[str, str] = {}

    def __call__(self) -> Placements:
        placements = {name: cards for name, cards in self._placements().items() if numbers(name)}
        if not all(cards or name in self._found for name, cards in placements.items()):
            self._found |= card_ids(self._settings)
        return {name: cards or tuple(filter(None, [self._found.get(name)])) for name, cards in placements.items()}
