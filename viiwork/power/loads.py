"""Whose turn it is to load its model: few at a time, since loading many takes a disk and a supply by surprise. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace

from viiwork.roster import AWAITS_AGAIN, AWAITS_CARD, GIVEN_UP

READY = ("", "ready")
"""How the engine of a worker stands that serves."""
HEARD_S = 10.0
"""What is told of an engine may be so old: from its guard by its worker's beat to here."""
LIMIT_S = 900.0
"""A large model on a slow disk takes up to 15 minutes; then the next one need not wait for this one any longer."""


@dataclass(frozen=True, slots=True)
class Loads:
    """Which engines were let load, and which of them have."""

    begun: Mapping[str, float] = field(default_factory=dict)
    """When, on a clock that never goes back."""
    loaded: frozenset[str] = frozenset()

    def seen(self, states: Mapping[str, str], *, now_s: float) -> Loads:
        """After a look at how the engines stand, by their workers' names; of one that is not there nothing is told.

        One that had loaded and does not serve any more, that has no card, or whose guard says so waits for its turn
        again.
        """
        serving = frozenset(name for name in self.begun if states.get(name) in READY)
        away = {name for name in self.begun if states.get(name, "").startswith(AWAITS_CARD)}
        asks = {
            name for name, at_s in self.begun.items() if states.get(name) == AWAITS_AGAIN and now_s - at_s > HEARD_S
        }
        fell = self.loaded - serving | away | asks
        return Loads({name: at_s for name, at_s in self.begun.items() if name not in fell}, serving)

    def loading(self, states: Mapping[str, str], *, now_s: float) -> frozenset[str]:
        """Those that are at it."""
        return frozenset(
            name
            for name, begun_s in self.begun.items()
            if name not in self.loaded and now_s - begun_s < LIMIT_S and not states.get(name, "").startswith(GIVEN_UP)
        )

    def let(self, names: Collection[str], *, now_s: float) -> Loads:
        """They may load now."""
        return replace(self, begun={**dict.fromkeys(names, now_s), **self.begun})

    def only(self, names: Collection[str]) -> Loads:
        """Those that may still run; the others have to wait for their turn again."""
        return Loads({name: at_s for name, at_s in self.begun.items() if name in names}, self.loaded & set(names))
