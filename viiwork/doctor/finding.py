"""What a check came to."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

GIB = 1024**3
MIB = 1024**2


class Verdict(StrEnum):
    """How a check came out."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Finding:
    """One check: what was found, and what to do about it."""

    check: str
    verdict: Verdict
    found: str
    advice: str = ""


def ok(check: str, found: str) -> Finding:
    """Nothing to do."""
    return Finding(check, Verdict.OK, found)


def warn(check: str, found: str, advice: str) -> Finding:
    """It costs something under a fault that may never come."""
    return Finding(check, Verdict.WARN, found, advice)


def fail(check: str, found: str, advice: str = "") -> Finding:
    """It loses work, or stops it."""
    return Finding(check, Verdict.FAIL, found, advice)


def in_units(size_bytes: int) -> str:
    """A size as people say it."""
    return f"{size_bytes / GIB:.1f} GiB" if size_bytes >= GIB else f"{size_bytes / MIB:.0f} MiB"
