"""The seam to py3langid: which language a text is written in, by a sample of it, or that nobody can tell."""

from __future__ import annotations

import os
from functools import cache

from py3langid.langid import LanguageIdentifier

from viiwork.documents.languagemodel import cache_folder, load

SAMPLE_CHARACTERS = 1_500
"""From the start and from the middle: the first page may be a form or a list of names. 0.3 ms."""
MIN_LETTERS = 20
MIN_SHARE = 0.8
NO_LANGUAGE = "zxx"


@cache
def load_identifier() -> LanguageIdentifier:
    """The model, once, before the first fork."""
    return load(cache_folder(os.environ))


def language_of(text: str) -> str | None:
    """The language's code (ISO 639-1 where it has one there, else 639-3), or None where it is not clear."""
    middle = max(SAMPLE_CHARACTERS, len(text) // 2)
    sample = text[:SAMPLE_CHARACTERS] + text[middle : middle + SAMPLE_CHARACTERS]
    if sum(map(str.isalpha, sample)) < MIN_LETTERS:
        return None
    try:
        code, share = load_identifier().classify(sample)
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - its model may be damaged, and no document is worth less for not knowing this
        return None
    return str(code) if share >= MIN_SHARE and code != NO_LANGUAGE else None
