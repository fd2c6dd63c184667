"""Checks of an engine that runs in a container: what runs it, and its image. Each is pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from viiwork.doctor.finding import Finding, fail, in_units, ok, warn
from viiwork.errors import ViiworkError


@dataclass(frozen=True, slots=True)
class ContainerFacts:
    """What is known of it without starting one."""

    image: str
    """As the settings or the recipe name it."""
    client: str = ""
    """`docker 28.2.2`; empty where it does not answer."""
    image_bytes: int = 0
    client_error: ViiworkError | None = None
    image_error: ViiworkError | None = None
    pin_error: ViiworkError | None = None
    """What its name alone tells: that of a tag may be another image tomorrow."""


def runs(facts: ContainerFacts) -> Finding:
    """Whether this user can have a container started."""
    if facts.client_error is not None:
        return fail("Containers", facts.client_error.message, facts.client_error.hint)
    return ok("Containers", f"{facts.client} answers")


def image(facts: ContainerFacts) -> Finding:
    """Whether the image is pinned, and here. Where nobody can be asked it is not known, which is no "ok"."""
    if facts.image_error is not None:
        return fail("Engine image", facts.image_error.message, facts.image_error.hint)
    if facts.pin_error is not None:
        return fail("Engine image", f"not checked whether it is here; {facts.pin_error.message}", facts.pin_error.hint)
    if facts.client_error is not None:
        found = f"{facts.image}: not checked whether it is here: {facts.client_error.message}"
        return warn("Engine image", found, "Mend Containers above, then run `viiwork doctor` again.")
    return ok("Engine image", f"{facts.image} is here ({in_units(facts.image_bytes)})")


CHECKS: tuple[Callable[[ContainerFacts], Finding], ...] = (runs, image)
