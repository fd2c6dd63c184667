"""Checks of what the engine workers are to hold: its program, its model, its memory. Each is pure."""

from __future__ import annotations

from collections.abc import Callable

from viiwork.doctor.facts import EngineFacts
from viiwork.doctor.finding import Finding, fail, in_units, ok, warn


def engine(facts: EngineFacts) -> Finding:
    """What the settings name must be there; of a fleet that flags of `viiwork up` gave another, that is told first."""
    if facts.error is not None:
        return fail("Engine", facts.error.message, facts.error.hint)
    found = f"{facts.title}, serves {facts.alias}" if facts.alias else facts.title
    if facts.running:
        found = (
            f"{facts.running} in the fleet that runs here, by the flags of its `up`; without flags it would be {found}"
        )
    return ok("Engine", found)


def memory(facts: EngineFacts) -> Finding:
    """Engines on the CPU that do not fit are killed by the system when they have loaded."""
    if facts.error is not None:
        return warn("Engine memory", "not checked: the engine could not be started", "Mend what fails above first.")
    if facts.cards_wanted or not facts.needs_bytes:
        return ok("Engine memory", "not in this host's RAM")
    found = f"about {in_units(facts.needs_bytes)} needed, {in_units(facts.available_bytes)} available"
    if facts.needs_bytes > facts.available_bytes:
        return warn("Engine memory", found, "Lower workers.cpus, engine.slots or engine.context_tokens.")
    return ok("Engine memory", found)


CHECKS: tuple[Callable[[EngineFacts], Finding], ...] = (engine, memory)
