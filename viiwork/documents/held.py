"""One file inside another, as archives and e-mails hand them out, and the name that it may be shown by. Pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import PurePosixPath

from viiwork.documents.outcomes import Unread

UNNAMED = "unnamed"
MAX_NAME = 255
"""Characters of one step of a name."""
_STEPS = re.compile(r"[\\/]+")
_DRIVE = re.compile(r"^[A-Za-z]:")


class Crowded(Unread):
    """Raised when there are more files than are taken: then none is."""


@dataclass(frozen=True, slots=True)
class Held:
    """One file inside another."""

    number: int
    """Its place among all that the other holds: names may stand twice."""
    name: str
    read: Callable[[int], bytes]
    """Its bytes, at most so many. Raises Unread."""


def shown(name: str) -> str:
    """A name fit to be shown, without the steps that would lead out of its archive. It is never used as a path."""
    steps = (_printable(step) for step in _STEPS.split(_DRIVE.sub("", name)))
    return "/".join(step for step in steps if step not in ("", ".", "..")) or UNNAMED


def told_apart(names: Counter[str], name: str) -> str:
    """The name, with a number where it stood before: `a (2).pdf`. Counts it in `names`."""
    names[name] += 1
    while names[name] > 1:
        path = PurePosixPath(name)
        other = str(path.with_name(f"{path.stem} ({names[name]}){path.suffix}"))
        if other not in names:
            names[other] = 1
            return other
        names[name] += 1
    return name


def _printable(step: str) -> str:
    """Without control characters, lone surrogates, and marks that turn the direction of writing."""
    return "".join(sign for sign in step if sign.isprintable()).strip()[-MAX_NAME:]
