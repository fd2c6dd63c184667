"""What an engine's log says about its death: recognised by a table of patterns, told in our own words."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable
from functools import cache
from importlib.resources import files
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

LONGEST_LINE = 2_000
"""Characters of a line that are looked at."""
ESCAPE_OR_LETTER = re.compile(r"\\.|[A-Z]")
Blame = Literal["card", "job", "engine", "host"]
"""engine: how it is set up, its model included; host: the machine besides its cards."""


class Known(BaseModel):
    """One kind of trouble. What people read is ours alone: a log may hold paths, prompts and keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: Annotated[str, Field(pattern=r"^[a-z0-9-]+$")]
    what: str
    """What happened: a sentence."""
    advice: str
    """What to do: a sentence."""
    transient: bool
    """Whether starting it again may help with nothing changed."""
    blame: Blame
    engines: tuple[str, ...] = ()
    """The recipes whose engines say this; empty for all."""
    patterns: Annotated[tuple[str, ...], Field(min_length=1)] = Field(repr=False)
    """Regular expressions in any case, one of which a line holds. Without `*` and `+`: their time is bounded."""


def recognise(lines: Iterable[str]) -> Known | None:
    """The most telling trouble that these lines of a log speak of: the first of the table; None when it has none."""
    best = len(table())
    for line in lines:
        best = _first(line[:LONGEST_LINE], before=best)
        if best == 0:
            break
    return table()[best] if best < len(table()) else None


@cache
def table() -> tuple[Known, ...]:
    """The rows of `known_errors.toml`, the most telling first."""
    text = files(__package__).joinpath("known_errors.toml").read_text(encoding="utf-8")
    return tuple(Known.model_validate(row) for row in tomllib.loads(text)["known"])


@cache
def _searches() -> tuple[tuple[re.Pattern[str], ...], ...]:
    """The patterns of each row in small letters, for lines in small letters.

    Each for itself and with its case: what Python then finds by the pattern's first word takes 0.04 ms a line, against
    0.2 ms for one pattern a row that ignores case.
    """
    return tuple(tuple(re.compile(ESCAPE_OR_LETTER.sub(_small, p)) for p in row.patterns) for row in table())


def _small(found: re.Match[str]) -> str:
    return found[0] if found[0].startswith("\\") else found[0].lower()


def _first(line: str, *, before: int) -> int:
    """The first row that speaks of this line, of those before `before`; else `before`."""
    small = line.lower()
    rows = enumerate(_searches()[:before])
    return next((n for n, patterns in rows if any(pattern.search(small) for pattern in patterns)), before)
