"""Checks of a computer that joined a fleet: whether it reaches the head's documents. Each is pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from viiwork.doctor.finding import Finding, fail, ok, warn
from viiwork.errors import ViiworkError


@dataclass(frozen=True, slots=True)
class JoinedFacts:
    """How this computer stands to the head."""

    url: str
    """The head's API; empty where its blob directory is mounted here."""
    error: ViiworkError | None
    """Why the documents are not to be had, if they are not."""
    in_clear: bool = False


def documents(joined: JoinedFacts) -> Finding:
    """The head's documents must be within reach, and be those that this Redis names."""
    where = joined.url or "the mounted blob directory"
    if joined.error is not None:
        return fail("Documents", joined.error.message, joined.error.hint)
    if joined.in_clear:
        advice = "Use https:// or a tunnel, unless nobody else is on that network."
        return warn("Documents", f"through {where}, in clear text", advice)
    return ok("Documents", f"through {where}: it answers, takes the token, and has this fleet's documents")


CHECKS: tuple[Callable[[JoinedFacts], Finding], ...] = (documents,)
