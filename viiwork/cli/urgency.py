"""How urgent work is, as options say it: until when its answers are wanted, and before which others."""

from __future__ import annotations

import re
from typing import Annotated

import typer

from viiwork.errors import UsageError
from viiwork.jobs import Priority

PRIORITIES = ", ".join(Priority)
DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*([smhd]?)")
UNIT_S = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400}

Deadline = Annotated[
    str, typer.Option(metavar="TIME", help="Until when answers are wanted, from now: `90s`, `15m`, `2h`, `1d`.")
]
Urgency = Annotated[str, typer.Option(help=f"Among your own batches: {PRIORITIES}.")]


def choose_priority(level: str) -> Priority:
    """The priority of this name. Raises UsageError."""
    if level not in frozenset(Priority):
        raise UsageError(f"{level}: there is no such priority.", hint=f"Choose one of {PRIORITIES}.", param="priority")
    return Priority(level)


def seconds_of(text: str) -> float | None:
    """Of `--deadline`, as `span_s`."""
    return span_s(text, "deadline")


def span_s(text: str, flag: str) -> float | None:
    """A span of time as people write it, in seconds; None for none. Raises UsageError naming the flag."""
    if not text:
        return None
    found = DURATION.fullmatch(text.strip())
    if not found or float(found[1]) == 0:
        raise UsageError(f"--{flag} {text}: is no span of time.", hint="Such as 90s, 15m, 2h or 1d.", param=flag)
    return float(found[1]) * UNIT_S[found[2]]
