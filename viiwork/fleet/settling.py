"""Which cards are there for good, and which are away for good: what changes for a moment changes no plan. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from viiwork.placement.cards import PlanCard


class Settling:
    """A card is taken to be as it was until it has been otherwise for `settle_s`."""

    def __init__(self, known: Mapping[str, PlanCard], *, settle_s: float) -> None:
        self._steady = dict(known)
        self._settle_s = settle_s
        self._since_s: dict[str, float] = {}

    def at(self, now_s: float, seen: Mapping[str, PlanCard]) -> dict[str, PlanCard]:
        """What to go by, after one more look. A card that was never there is left out until it has been for so long."""
        for name, card in seen.items():
            before = self._steady.get(name)
            if bool(card.trouble) == (before is None or bool(before.trouble)):
                self._since_s.pop(name, None)
            elif now_s - self._since_s.setdefault(name, now_s) >= self._settle_s:
                self._steady[name] = card
                del self._since_s[name]
        return dict(self._steady)
