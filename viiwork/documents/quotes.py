"""Where a quote stands in a text, although whoever copied it made mistakes. Pure.

Blanks, case and typographic marks are set aside first; what is not there letter for letter is aligned with rapidfuzz.
Aligning costs 0.1 ms in a passage of 12,000 characters and grows with it; in longer texts only the places are looked at
that share short runs of letters with the quote: 3 ms in 60,000 characters, 20 in half a million.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice, product

from rapidfuzz import fuzz

from viiwork.documents.quotesense import agrees

LONGEST_CHARACTERS = 4_000
"""Of a quote; a longer one is not looked for."""
WHOLE_CHARACTERS = 600
"""Up to here a quote is aligned at once; of a longer one its two ends are, then all of it is compared."""
END_CHARACTERS = 200
SHORT_CHARACTERS = 12
"""Below this a quote must be there letter for letter, as whole words: nearly anything is like something else."""
LEAST_SCORE, LEAST_SHORT_SCORE = 82.0, 90.0
"""In hundredths of the characters that agree; the second up to `FEW_CHARACTERS`. With 5 % of a quote's characters
wrong it scores about 95; sentences that were made up reach 64 in 12,000 characters (measured)."""
FEW_CHARACTERS = 24
NEAR_CHARACTERS = 12_000
"""Texts up to this length are searched from end to end."""
RUN_CHARACTERS, RUN_EVERY = 7, 3
MANY_PLACES = 200
"""A run that is found more often than this says nothing about where."""
LIKELY_WINDOWS = 3
FEW_WORDS = 2
_MOVES = sorted(product(range(-FEW_WORDS, FEW_WORDS + 1), repeat=2), key=lambda moves: sum(map(abs, moves)))
_ELLIPSIS = re.compile(r"\s*(?:\[…\]|\[\.\.\.\]|…|\.\.\.)\s*")
_BLANKS = re.compile(r"\s{2,}|[^\S ]")
_PLAIN = str.maketrans("“”„‟«»″‘’‚‛′‐‑‒–—−", '"' * 7 + "'" * 5 + "-" * 6)


@dataclass(frozen=True, slots=True)
class Span:
    """Characters of the text, from `start` up to `end`."""

    start: int
    end: int
    agrees: bool = True
    """Whether it says the same there: 800 euros are no proof of 900, nor is `shall not pay` one of `shall pay`."""


class Text:
    """A text that quotes are looked for in, evened out once."""

    def __init__(self, text: str) -> None:
        self._given = text
        self._even, self._joints = _evened(text)

    def find(self, quote: str) -> Span | None:
        """Where the quote stands; of one with an ellipsis its longest piece. None where nothing is like it."""
        whole = _evened(quote)[0].strip()
        found = self._find(whole)  # a document may have an ellipsis of its own
        longest = max(_ELLIPSIS.split(whole), key=len)
        return self._find(longest) if found is None and SHORT_CHARACTERS <= len(longest) < len(whole) else found

    def _find(self, quote: str) -> Span | None:
        if verbatim := self._verbatim(quote):
            return verbatim
        if not any(map(str.isalnum, quote)) or not SHORT_CHARACTERS <= len(quote) <= LONGEST_CHARACTERS:
            return None
        aligned = _aligned(quote, self._even) if len(quote) <= WHOLE_CHARACTERS else _ends(quote, self._even)
        if aligned is None:
            return None
        return self._span(*_agreeing(quote, self._even, *_whole_words(self._even, *aligned)))

    def _verbatim(self, quote: str) -> Span | None:
        """The first place that has it letter for letter and agrees, else the first: `5` stands in `-5` too."""
        places = list(islice(_verbatim(quote, self._even), MANY_PLACES))
        if not places:
            return None
        agreeing = next((place for place in places if agrees(quote, self._even, *place)), None)
        return self._span(*(agreeing or places[0]), agreeing is not None)

    def _span(self, start: int, end: int, agreeing: bool) -> Span:
        return Span(self._original(start), self._original(end - 1) + 1, agreeing)

    def _original(self, at: int) -> int:
        """The character of the given text that stands at `at` of the evened one."""
        before = bisect_right(self._joints, at, key=lambda joint: joint[0]) - 1
        even, given = self._joints[before]
        return given + at - even


def _evened(text: str) -> tuple[str, list[tuple[int, int]]]:
    """The text in small letters with single blanks, and for each joint where it is there and where it was."""
    plain = text if text.isascii() else text.translate(_PLAIN)
    small = plain.lower()
    if len(small) != len(plain):  # some capitals become two characters
        small = "".join(one if len(one.lower()) > 1 else one.lower() for one in plain)
    pieces, joints, given, even = list[str](), [(0, 0)], 0, 0
    for blanks in _BLANKS.finditer(small):
        pieces += (small[given : blanks.start()], " ")
        even += blanks.start() - given + 1
        given = blanks.end()
        joints.append((even, given))
    return "".join((*pieces, small[given:])), joints


def _verbatim(quote: str, text: str) -> Iterator[tuple[int, int]]:
    """Where it stands letter for letter; a short one as whole words."""
    short = len(quote) < SHORT_CHARACTERS
    if not quote or (short and not any(map(str.isalnum, quote))):
        return
    at = text.find(quote)
    while at >= 0:
        end = at + len(quote)
        if not short or not (_is_word(text[max(0, at - 1) : at]) or _is_word(text[end : end + 1])):
            yield at, end
        at = text.find(quote, at + 1)


def _is_word(sign: str) -> bool:
    return sign.isalnum() or sign == "_"


def _aligned(quote: str, text: str, *, score: float = 0.0) -> tuple[int, int] | None:
    """The likeliest place in the text, if it is like the quote; both are evened out."""
    least = score or (LEAST_SHORT_SCORE if len(quote) < FEW_CHARACTERS else LEAST_SCORE)
    best: tuple[int, int] | None = None
    for start, end in _windows(quote, text):
        window = text[start:end]
        found = fuzz.partial_ratio_alignment(quote, window, score_cutoff=least) if len(window) >= len(quote) else None
        if found is not None:
            least, best = max(least, found.score), (start + found.dest_start, start + found.dest_end)
    return best


def _ends(quote: str, text: str) -> tuple[int, int] | None:
    """A long quote by its two ends, and then compared as a whole."""
    first = _aligned(quote[:END_CHARACTERS], text)
    if first is None:
        return None
    reach = text[first[0] : first[0] + len(quote) * 5 // 4]
    last = _aligned(quote[-END_CHARACTERS:], reach)
    if last is None or fuzz.ratio(quote, reach[: last[1]], score_cutoff=LEAST_SCORE) == 0:
        return None
    return first[0], first[0] + last[1]


def _windows(quote: str, text: str) -> Iterator[tuple[int, int]]:
    """Where in the text to look: everywhere in a short one, else around the runs that most of the quote is near to."""
    if len(text) <= NEAR_CHARACTERS:
        yield 0, len(text)
        return
    width = max(256, len(quote))
    votes = Counter[int]()
    for at in range(0, len(quote) - RUN_CHARACTERS + 1, RUN_EVERY):
        votes.update(max(0, place - at) // width for place in _places(quote[at : at + RUN_CHARACTERS], text))
    for window, _ in votes.most_common(LIKELY_WINDOWS):
        yield max(0, window - 1) * width, (window + 3) * width


def _places(run: str, text: str) -> list[int]:
    """Where the run stands; nowhere when it stands nearly everywhere."""
    places = list[int]()
    at = text.find(run)
    while at >= 0:
        places.append(at)
        if len(places) > MANY_PLACES:
            return []
        at = text.find(run, at + 1)
    return places


def _whole_words(text: str, start: int, end: int) -> tuple[int, int]:
    """The same place, grown where it begins or ends inside a word; the aligner cuts what does not agree."""
    while start > 0 and text[start - 1].isalnum() and text[start].isalnum():
        start -= 1
    while end < len(text) and text[end - 1].isalnum() and text[end].isalnum():
        end += 1
    return start, end


def _agreeing(quote: str, text: str, start: int, end: int) -> tuple[int, int, bool]:
    """The same place, and whether it agrees with the quote.

    The aligner's span is as long as the quote. Where a letter was lost or doubled its ends are off by as much, and may
    cut a figure off or take a neighbour in, so they may move by `FEW_WORDS`: 11 of 400 quotes were marked for that.
    """
    if agrees(quote, text, start, end):
        return start, end, True
    alike = fuzz.ratio(quote, text[start:end])
    for before, after in _MOVES:
        first, last = _moved(text, start, before), _moved(text, end, after)
        piece = text[first:last].strip()
        # not less alike: else `for 900. the rent is` would be the place of `the rent is 900` where it is 800
        if piece and fuzz.ratio(quote, piece) >= alike:
            first = text.index(piece, first)
            last = first + len(piece)
            if agrees(quote, text, first, last):
                return first, last, True
    return start, end, False


def _moved(text: str, at: int, words: int) -> int:
    """The place so many words on, or back."""
    for _ in range(abs(words)):
        found = text.find(" ", at + 1) if words > 0 else text.rfind(" ", 0, max(0, at - 1))
        at = len(text) if found < 0 < words else max(0, found)
    return at
