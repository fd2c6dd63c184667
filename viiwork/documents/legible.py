"""Whether a text layer says anything: fonts without a table of characters leave codes that mean nothing. Pure."""

from __future__ import annotations

import re
import unicodedata
from enum import Enum

MIN_CHARACTERS = 20
PROBE_CHARACTERS = 4_000
LOST_SHARE = 0.5
DOUBTFUL_SHARE = 0.1
MIN_LETTERS = 200
MIN_VOWELS = 0.2
"""Of Latin letters, accented ones and y included. English has 0.37 and more; shifted codes of it, 0.12 to 0.15."""

# Private use, replaced, controls: what PDFium gives for a sign whose meaning the font does not tell.
_DEAD = re.compile("[\ue000-\uf8ff\ufffd\x00-\x08\x0e-\x1f\x7f-\x9f\U000f0000-\U0010fffd]")
_NO_LETTERS = bytes(code for code in range(256) if not chr(code).isascii() or not chr(code).isalpha())
_VOWELS = b"aeiouyAEIOUY"


class Legibility(Enum):
    """How much of a page's text layer can be read."""

    GOOD = "good"
    DOUBTFUL = "doubtful"
    NONE = "none"


def legibility(text: str) -> Legibility:
    """Judged by the start of the text; so little that nothing can be said is good."""
    signs = "".join(text[:PROBE_CHARACTERS].split())
    if len(signs) < MIN_CHARACTERS:
        return Legibility.GOOD
    dead = len(_DEAD.findall(signs)) / len(signs)
    if dead > LOST_SHARE:
        return Legibility.NONE
    return Legibility.DOUBTFUL if dead > DOUBTFUL_SHARE or _is_shifted(signs) else Legibility.GOOD


def _is_shifted(signs: str) -> bool:
    """Latin letters of which hardly one is a vowel: the codes of a font, taken for letters."""
    letters = unicodedata.normalize("NFD", signs).encode("ascii", "ignore").translate(None, _NO_LETTERS)
    vowels = len(letters) - len(letters.translate(None, _VOWELS))
    return len(letters) >= MIN_LETTERS and 2 * len(letters) > len(signs) and vowels < MIN_VOWELS * len(letters)
