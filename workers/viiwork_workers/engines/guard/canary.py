"""Whether an engine's text makes sense: a card that computes rubbish answers quickly and without an error. Pure.

Seen on gfx906 after a custom all-reduce, or with errors on the PCIe link: the logits become NaN, and every token is
token 0, which most tokenizers write as an exclamation mark.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

import regex


@dataclass(frozen=True, slots=True)
class Question:
    """One way to ask for a little text."""

    prompt: str
    temperature: int
    seed: int
    plain: bool = False
    """A text to go on with, and no chat: nothing is taken out of the answer then, such as thoughts."""


QUESTIONS = (
    Question("Answer in one short sentence: what colour is the sky on a clear day?", temperature=1, seed=7),
    Question("What colour is a cloudless sky at noon? One short sentence, please.", temperature=0, seed=8),
    Question("On a clear day the sky is blue because", temperature=0, seed=9, plain=True),
)
"""One odd answer is chance: models that were never tuned fill in forms, end at once or think unseen. The next is asked
only after an odd one; a card that computes rubbish answers all of them with it."""
CANARY_TOKENS = 32
"""Enough to tell rubbish from text, and done within a second."""
EXPECT_TIMEOUT_S = 0.5
LONGEST = 4_000
"""Characters that are looked at."""
FEW = 8
"""In so few characters nothing but an exact repetition counts: short answers are good answers."""
REPEATS = re.compile(r"(.{1,40}?)\1{3,}", re.DOTALL)
"""A unit that follows on itself three times or more. 40 characters are more than tokens have."""


def verdict(text: str, *, expect: str = "") -> str:
    """Why this answer to the canary is garbage, in our own words; empty when it makes sense.

    `expect` is a regular expression that the answer must hold.
    """
    seen = " ".join(text[:LONGEST].split())
    if not seen:
        return "it answered nothing"
    return _repeats(seen) or _spoilt(text[:LONGEST], seen) or (_misses(text[:LONGEST], expect) if expect else "")


def _spoilt(text: str, seen: str) -> str:
    """Shares, not single ones: a healthy model may cut a character of several bytes in two."""
    if 3 * sum(character == "\ufffd" for character in seen) > len(seen):
        return "a third of its answer or more are bytes that are no text"
    if 5 * sum(_is_control(character) for character in text) > len(text):
        return "a fifth of its answer or more are control characters"
    if len(seen) >= FEW and not any(unicodedata.category(character)[0] in "LNS" for character in seen):
        return "its answer holds neither a letter nor a digit"
    return ""


def _repeats(seen: str) -> str:
    found = REPEATS.search(seen)
    longest = 0
    while found:
        longest = max(longest, found.end() - found.start())
        found = REPEATS.search(seen, found.end())
    if longest == len(seen) or (len(seen) >= FEW and 5 * longest >= 3 * len(seen)):
        return "it repeats one token over and over"
    return ""


def _misses(text: str, expect: str) -> str:
    try:
        found = regex.search(expect, text, timeout=EXPECT_TIMEOUT_S)
    except TimeoutError:
        return "engine.canary_expect takes too long to match: make it simpler"
    except regex.error:
        return "engine.canary_expect is not a regular expression"
    return "" if found else "its answer does not hold what engine.canary_expect asks for"


def _is_control(character: str) -> bool:
    return unicodedata.category(character) == "Cc" and character not in "\t\n\r"
