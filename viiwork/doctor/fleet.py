"""Checks of the fleet: who works, what waits, what was given up. Each is pure."""

from __future__ import annotations

from collections.abc import Callable

from viiwork.doctor.facts import FleetFacts
from viiwork.doctor.finding import Finding, fail, ok, warn
from viiwork.errors import Full

SEE_WHY = "See their logs. `viiwork quarantine list` says why, `viiwork quarantine lift` ends it."


def workers(fleet: FleetFacts) -> Finding:
    """Somebody must serve each model, and somebody must read."""
    counts = ", ".join(f"{count} for {model}" for model, count in sorted(fleet.workers.items()))
    unserved = sorted(model for model, count in fleet.waiting.items() if count and model not in fleet.workers)
    if not fleet.workers:
        return warn("Workers", "no engine worker is up", "Start the fleet with `viiwork up`.")
    if unserved:
        found = f"nobody serves {', '.join(unserved)}, for which jobs wait"
        return fail("Workers", found, "Start a worker for it, or cancel these jobs.")
    if not fleet.readers:
        return warn("Workers", f"{counts}; no reader, so documents wait", "Set workers.readers to at least 1.")
    if fleet.held_back:
        found = "; ".join(f"{name}: {why}" for name, why in sorted(fleet.held_back.items()))
        return warn("Workers", found, " ".join((*fleet.to_mend, *([SEE_WHY] if fleet.unexplained else []))))
    return ok("Workers", f"{counts}; {fleet.readers} for reading")


def taking_work(fleet: FleetFacts) -> Finding:
    """A fleet refuses work when it was stopped, and when there is no room for more."""
    if fleet.closing:
        return warn("New work", "refused: the fleet is shutting down", "Start it again with `viiwork up`.")
    if fleet.refusal is not None:
        judge = fail if isinstance(fleet.refusal, Full) else warn
        return judge("New work", f"refused: {fleet.refusal.message}", fleet.refusal.hint)
    return ok("New work", "taken")


def dead_letters(fleet: FleetFacts) -> Finding:
    """Jobs that were given up wait for a person."""
    if fleet.dead:
        found = f"{fleet.dead} given up"
        return warn("Dead letters", found, "See `viiwork dead list`; then `viiwork dead retry` or `purge`.")
    return ok("Dead letters", "none")


def versions(fleet: FleetFacts) -> Finding:
    """Workers of two versions understand each other within one schema."""
    strange = sorted(fleet.schemas - {fleet.schema})
    if strange:
        found = f"{fleet.versions}; some workers speak schema {', '.join(map(str, strange))}, not {fleet.schema}"
        return warn("Versions", found, "Finish the upgrade: restart the workers of the older version.")
    return ok("Versions", fleet.versions)


CHECKS: tuple[Callable[[FleetFacts], Finding], ...] = (workers, taking_work, dead_letters, versions)
