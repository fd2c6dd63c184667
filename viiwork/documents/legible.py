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
_ASCII = bytes(range(128))
_BLANKS = bytes(code for code in _ASCII if chr(code).isspace())
_DEAD_ASCII = bytes(code for code in _ASCII if _DEAD.match(chr(code)))
_NO_LETTERS = bytes(code for code in range(256) if not chr(code).isascii() or not chr(code).isalpha())
_VOWELS = b"aeiouyAEIOUY"


class Legibility(Enum):
    """How much of a page's text layer can be read."""

    GOOD = "good"
    DOUBTFUL = "doubtful"
    NONE = "none"


def legibility(text: str) -> Legibility:
    """Judged by the start of the text; so little that nothing can be said is good."""
    probe = text[:PROBE_CHARACTERS]
    signs, dead, latin = _ascii_signs(probe) if probe.isascii() else _signs(probe)
    if signs < MIN_CHARACTERS:
        return Legibility.GOOD
    if dead > LOST_SHARE * signs:
        return Legibility.NONE
    return Legibility.DOUBTFUL if dead > DOUBTFUL_SHARE * signs or _is_shifted(signs, latin) else Legibility.GOOD


def _ascii_signs(text: str) -> tuple[int, int, bytes]:
    """What `_signs` finds, in a fifth of its time."""
    signs = text.encode("ascii").translate(None, _BLANKS)
    return len(signs), len(signs) - len(signs.translate(None, _DEAD_ASCII)), signs.translate(None, _NO_LETTERS)


def _signs(text: str) -> tuple[int, int, bytes]:
    """How many signs there are that are not blank, how many of them are dead, and the Latin letters among them."""
    signs = "".join(text.split())
    latin = unicodedata.normalize("NFD", signs).encode("ascii", "ignore").translate(None, _NO_LETTERS)
    return len(signs), len(_DEAD.findall(signs)), latin


def _is_shifted(signs: int, latin: bytes) -> bool:
    """Latin letters of which hardly one is a vowel: the codes of a font, taken for letters."""
    vowels = len(latin) - len(latin.translate(None, _VOWELS))
    return len(latin) >= MIN_LETTERS and 2 * len(latin) > signs and vowels < MIN_VOWELS * len(latin)
