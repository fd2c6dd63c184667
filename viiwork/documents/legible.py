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
_ACCENTED = re.compile("[\u00c0-\u0233\u1e00-\u1ef9\u212a\u212b]")
"""Where all signs stand that are Latin letters with something added to them."""
_ASCII = bytes(range(128))
_BEYOND_ASCII = bytes(range(128, 256))
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
    signs, dead, latin = _signs(text[:PROBE_CHARACTERS])
    if signs < MIN_CHARACTERS:
        return Legibility.GOOD
    if dead > LOST_SHARE * signs:
        return Legibility.NONE
    return Legibility.DOUBTFUL if dead > DOUBTFUL_SHARE * signs or _is_shifted(signs, latin) else Legibility.GOOD


def _signs(text: str) -> tuple[int, int, bytes]:
    """How many signs there are that are not blank, how many of them are dead, and the Latin letters among them.

    Those of ASCII, which are most, are counted as bytes, in a fifth of the time.
    """
    data = text.encode("utf-8", "surrogatepass")
    plain = data.translate(None, _BLANKS + _BEYOND_ASCII)
    beyond = "".join(data.translate(None, _ASCII).decode("utf-8", "surrogatepass").split())
    dead = len(plain) - len(plain.translate(None, _DEAD_ASCII)) + len(_DEAD.findall(beyond))
    accented = unicodedata.normalize("NFD", "".join(_ACCENTED.findall(beyond)))
    return len(plain) + len(beyond), dead, (plain + accented.encode("ascii", "ignore")).translate(None, _NO_LETTERS)


def _is_shifted(signs: int, latin: bytes) -> bool:
    """Latin letters of which hardly one is a vowel: the codes of a font, taken for letters."""
    vowels = len(latin) - len(latin.translate(None, _VOWELS))
    return len(latin) >= MIN_LETTERS and 2 * len(latin) > signs and vowels < MIN_VOWELS * len(latin)
