"""The quick ways to tidy a text and to count its signs give what the plain ways give."""

from __future__ import annotations

import re
import sys
import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from viiwork.documents.document import tidy
from viiwork.documents.legible import Legibility, legibility

ODD = "\t\n\r\x0b\x0c\x1c\x1f \x85\xa0\u1680\u2003\u2028\u202f\u3000\x00\x07\x7f\x9f\ud800\udfff\ufeff\ufffe\uffff"
SIGNS = "aeiouyxzBK.,09\u00e9\u00d8\u0130\u1e9e\u1ef9\u212a\u212b\u2260\u0301\ue000\ufffd\U000f0000\u4e2d\u0416\uac00"
texts = st.text(st.one_of(st.sampled_from(ODD + SIGNS), st.characters()), max_size=60)
UNWANTED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufeff\ufffe\uffff]")
DEAD = re.compile("[\ue000-\uf8ff\ufffd\x00-\x08\x0e-\x1f\x7f-\x9f\U000f0000-\U0010fffd]")


def even(blanks: re.Match[str]) -> str:
    return "\t" if "\t" in blanks[0] else " " * min(len(blanks[0]), 64)


@given(texts)
def test_a_text_is_tidied_as_sign_by_sign(text: str) -> None:
    plain = UNWANTED.sub("", re.sub("\r\n?|[\x0b\x0c\x85\u2028\u2029]", "\n", text))
    lines = re.sub(r"[ \t]+$", "", re.sub(r"[^\S\n]+", even, plain), flags=re.MULTILINE)
    assert tidy(text) == re.sub(r"\n{4,}", "\n\n\n", lines).strip("\n")


def judged(text: str) -> Legibility:
    signs = "".join(text[:4000].split())
    dead = len(DEAD.findall(signs))
    latin = [sign.lower() for sign in unicodedata.normalize("NFD", signs) if sign.isascii() and sign.isalpha()]
    if len(signs) < 20 or (not dead and len(latin) < 200):
        return Legibility.GOOD
    if dead > 0.5 * len(signs):
        return Legibility.NONE
    shifted = len(latin) >= 200 and 2 * len(latin) > len(signs) and sum(map("aeiouy".count, latin)) < 0.2 * len(latin)
    return Legibility.DOUBTFUL if dead > 0.1 * len(signs) or shifted else Legibility.GOOD


@given(texts, st.integers(1, 90))
def test_a_text_is_judged_as_sign_by_sign(text: str, times: int) -> None:
    assert legibility(text * times) is judged(text * times)


def test_each_accented_letter_counts_as_the_letter_that_it_is() -> None:
    """Of all signs that there are: two hundred of one kind are shifted codes unless they are vowels."""
    for sign in map(chr, range(128, sys.maxunicode + 1)):
        if any(part.isascii() and part.isalpha() for part in unicodedata.normalize("NFD", sign)):
            assert legibility(sign * 200) is judged(sign * 200), sign
