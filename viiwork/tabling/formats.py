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


ENDINGS = {
    "": Format.JSONL,
    **dict.fromkeys((".jsonl", ".ndjson"), Format.JSONL),
    ".csv": Format.CSV,
    **dict.fromkeys((".md", ".markdown"), Format.MARKDOWN),
    ".parquet": Format.PARQUET,
}
MEDIA_TYPES = {
    Format.JSONL: "application/x-ndjson",
    Format.CSV: "text/csv; charset=utf-8",
    Format.MARKDOWN: "text/markdown; charset=utf-8",
}
"""Of those that the service itself writes."""


def format_of(asked: str, path: PurePath | None) -> Format:
    """The format that was asked for, else the one that the name ends like; JSON Lines where it has no ending.

    Raises UsageError for an ending of something else: who opens `rows.xlsx` shall not find JSON Lines in it.
    """
    if not asked:
        return _by_ending(path) if path is not None else Format.JSONL
    if asked not in frozenset(Format):
        hint = f"Choose one of {', '.join(Format)}."
        raise UsageError(f"--format {asked[:40]}: there is no such format.", hint=hint, param="format")
    return Format(asked)


def _by_ending(path: PurePath) -> Format:
    ending = path.suffix.lower()
    if ending not in ENDINGS:
        hint = "Write .csv, .md, .jsonl or .parquet, or say with --format which of them this file is to be."
        raise UsageError(f"--out {path.name}: {ending} is nothing that rows are written as.", hint=hint, param="out")
    return ENDINGS[ending]
