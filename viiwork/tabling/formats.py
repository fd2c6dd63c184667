"""Which formats results can be had in, and which one the end of a file's name asks for. Pure."""

from __future__ import annotations

from enum import StrEnum
from pathlib import PurePath

from viiwork.errors import UsageError


class Format(StrEnum):
    """What rows are written as."""

    JSONL = "jsonl"
    CSV = "csv"
    MARKDOWN = "markdown"
    PARQUET = "parquet"


ENDINGS = {".csv": Format.CSV, ".md": Format.MARKDOWN, ".markdown": Format.MARKDOWN, ".parquet": Format.PARQUET}
MEDIA_TYPES = {
    Format.JSONL: "application/x-ndjson",
    Format.CSV: "text/csv; charset=utf-8",
    Format.MARKDOWN: "text/markdown; charset=utf-8",
}
"""Of those that the service itself writes."""


def format_of(asked: str, path: PurePath | None) -> Format:
    """The format that was asked for, else the one that the name ends like, else JSON Lines. Raises UsageError."""
    if not asked:
        return Format.JSONL if path is None else ENDINGS.get(path.suffix.lower(), Format.JSONL)
    if asked not in frozenset(Format):
        hint = f"Choose one of {', '.join(Format)}."
        raise UsageError(f"--format {asked[:40]}: there is no such format.", hint=hint, param="format")
    return Format(asked)
