"""Figures that others have published, dated, each with its source and what kind of figure it is."""

from __future__ import annotations

import tomllib
from functools import cache
from importlib.resources import files
from typing import Literal

from viiwork.wire import Wire

TABLE = "published.toml"


class Row(Wire):
    """One published figure."""

    what: str
    cards: str
    in_flight: str
    note: str
    kind: Literal["measured", "claimed"]
    source: str
    """A key of the table's sources."""
    tokens_per_s: float | None = None


class Published(Wire):
    """The table."""

    dated: str
    sources: dict[str, str]
    row: tuple[Row, ...]


@cache
def published() -> Published:
    """What came with this version."""
    return Published.model_validate(tomllib.loads((files(__package__) / TABLE).read_text("utf-8")))
