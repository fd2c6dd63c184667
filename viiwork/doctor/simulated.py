"""Checks of the simulated cards that a fleet goes by, so that nobody takes them for this computer's. Each is pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from viiwork.doctor.cardfacts import CardFacts, kinds
from viiwork.doctor.finding import Finding, ok, warn


@dataclass(frozen=True, slots=True)
class SimulatedFacts:
    """Those that the fleet here runs with, or that were named."""

    spec: str
    """`simulated:8xRadeonVII`."""
    fleet: str = ""
    """Who runs with them; empty while nobody does."""
    folder: str = ""
    """Where their state is kept."""
    cards: tuple[CardFacts, ...] = ()
    lost: tuple[str, ...] = ()
    """`gpu2`: those that are off the bus, which are not found."""


def simulated(facts: SimulatedFacts) -> Finding:
    """What they are, and that they are no cards."""
    whose = f"of the fleet '{facts.fleet}', which runs here" if facts.fleet else "as named; no fleet runs with them"
    found = f"{kinds(facts.cards) or facts.spec}, {whose}: simulated, none is a card of this computer"
    ill = {card.name: card.reading.state for card in facts.cards if card.reading.state != "ok"}
    ill |= dict.fromkeys(facts.lost, "gone")
    if not ill:
        return ok("Simulated cards", found)
    told = ", ".join(f"{name} is {state}" for name, state in sorted(ill.items()))
    mend = " ".join(f"{name}.{state}" for name, state in sorted(ill.items()))
    return warn("Simulated cards", f"{found}; {told}", f"To mend them remove, in {facts.folder}: {mend}")


CHECKS: tuple[Callable[[SimulatedFacts], Finding], ...] = (simulated,)
