"""What the supervisor of each host tells of its cards, the cards that people have drained, and models they swap."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from viiwork.wire import Wire


class HostCard(Wire):
    """One card of a host; of a fleet without a plan, one engine worker."""

    name: str
    """`gpu2`: what it is drained by."""
    id: str = ""
    """Its UUID, where it is known."""
    worker: str = ""
    """Whose it is: `gpu2+gpu3`; empty while nobody has it."""
    model: str = ""
    """What that serves."""
    trouble: str = ""
    """Why nothing can be placed on it: `it has left the bus`."""


class HostCards(Wire):
    """A host with a supervisor, at one moment."""

    host: str
    cards: tuple[HostCard, ...] = ()
    not_served: tuple[str, ...] = ()
    """A sentence for each model that is wanted and does not fit."""
    at_ms: int = 0
    """By Redis' clock."""


class Drained(Wire):
    """A card that is left out until a person takes that back."""

    worker: str
    """`gpu2@host`."""
    reason: str = ""
    card: str = ""
    """Its UUID, once the supervisor has told: its number may be another after the next start."""


class Drains(Wire):
    """All of them."""

    drained: tuple[Drained, ...] = Field(default_factory=tuple)


class Undrained(Wire):
    """What came of taking drains back."""

    undrained: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    """Those named that were not drained."""


SwapState = Literal["asked", "refused", "expired", "planned", "under way", "failed", "done"]


class Swap(Wire):
    """One model in the place of another, on one host."""

    model: str
    """The alias of the one that goes."""
    to: str
    """The one that comes, as a person wrote it: a name or a path."""
    host: str
    state: SwapState = "asked"
    why: str = ""
    """Why it was refused, given up, or failed."""
    plan: str = ""
    """On which cards it goes, what that takes from whom, and what is left over; once the host has looked."""
    served_as: str = ""
    """The new one's alias, once the host has looked."""
    take_cards: bool = False
    """Whether it may take cards of other models."""
    dry_run: bool = False
    """Nothing is to be changed: the host only looks."""
    id: str = ""
    """Of this asking."""
    asked_ms: int = 0
    """By Redis' clock."""


class Swaps(Wire):
    """The last of each model and host."""

    swaps: tuple[Swap, ...] = Field(default_factory=tuple)
