"""Fills the templates of this package."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.resources import files
from typing import Any

from jinja2 import Environment, StrictUndefined


def fill(name: str, *, filters: Mapping[str, Callable[..., str]] | None = None, **values: Any) -> str:
    """The text of `name` with these values; one that is missing is a fault of ours."""
    made = Environment(  # noqa: S701 - no HTML: what needs quoting is quoted by whoever asks
        undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True
    )
    made.filters.update(filters or {})
    text: str = made.from_string(files(__package__).joinpath(name).read_text(encoding="utf-8")).render(**values)
    return text
