"""Checks of what the engine workers are to hold: its program, its model, its memory. Each is pure."""

from __future__ import annotations

from collections.abc import Callable

from viiwork.doctor.facts import EngineFacts
from viiwork.doctor.finding import Finding, fail, in_units, ok, warn


def engine(facts: EngineFacts) -> Finding:
    """What the settings name must be there; flags of `viiwork up` are not known here."""
    if facts.error is not None:
        return fail("Engine", facts.error.message, facts.error.hint)
    found = f"{facts.title}, serves {facts.alias}" if facts.alias else facts.title
    other = f": as the settings say; the fleet that runs here was started with {facts.running}" if facts.running else ""
    return ok("Engine", found + other)


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
