"""Checks of what the engine workers are to hold: its program, its model, its card, its memory. Each is pure."""

from __future__ import annotations

from collections.abc import Callable

from viiwork.doctor.facts import EngineFacts
from viiwork.doctor.finding import Finding, fail, in_units, ok, warn


def engine(facts: EngineFacts) -> Finding:
    """What the settings name must be there; flags of `viiwork up` are not known here."""
    if facts.error is not None:
        return fail("Engine", facts.error.message, facts.error.hint)
    return ok("Engine", f"{facts.title}, serves {facts.alias}" if facts.alias else facts.title)


def cards(facts: EngineFacts) -> Finding:
    """Each engine has a card of its own, and its user may open it."""
    if not facts.cards_wanted:
        return ok("Cards", "none needed")
    if facts.kfd == "missing":
        advice = "Load the amdgpu driver; give a container the devices /dev/kfd and /dev/dri/renderD*."
        return fail("Cards", "there is no /dev/kfd", advice)
    if facts.kfd == "closed":
        return fail("Cards", "this user may not open /dev/kfd", "Add the user to the groups render and video.")
    found = f"{facts.cards_wanted} wanted, {facts.cards_open} can be opened"
    if facts.cards_open < facts.cards_wanted:
        advice = "Set workers.gpus to that, or check the driver and who may open the cards' device files."
        return fail("Cards", found, advice)
    return ok("Cards", found)


def memory(facts: EngineFacts) -> Finding:
    """Engines on the CPU that do not fit are killed by the system when they have loaded."""
    if facts.error is not None or facts.cards_wanted or not facts.needs_bytes:
        return ok("Engine memory", "not in this host's RAM")
    found = f"about {in_units(facts.needs_bytes)} needed, {in_units(facts.available_bytes)} available"
    if facts.needs_bytes > facts.available_bytes:
        return warn("Engine memory", found, "Lower workers.cpus, engine.slots or engine.context_tokens.")
    return ok("Engine memory", found)


CHECKS: tuple[Callable[[EngineFacts], Finding], ...] = (engine, cards, memory)
