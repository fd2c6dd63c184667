"""Where the quotes of an answer stand in the passage that it was made from. Pure."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Sequence

from viiwork.work import Answer, Evidence

NOT_FOUND = "A quotation of the answer was left out: the document does not contain it."
MIN_FRAGMENT_CHARACTERS = 12
_ELLIPSIS = re.compile(r"\s*(?:\[…\]|\[\.\.\.\]|…|\.\.\.)\s*")


def ground(answer: Answer, text: str, page_starts: Sequence[tuple[int, int]]) -> Answer:
    """The answer with the page of each quote; a quote that `text` does not hold is left out, with a note.

    `page_starts` are a chunk's: (character of `text`, page), in order. Spaces and line breaks need not agree.
    """
    found = tuple(piece for piece in (_grounded(piece, text, page_starts) for piece in answer.evidence) if piece)
    notes = answer.notes if len(found) == len(answer.evidence) else tuple(dict.fromkeys((*answer.notes, NOT_FOUND)))
    return answer.model_copy(update={"evidence": found, "notes": notes})


def find_quote(quote: str, text: str) -> int | None:
    """Where the quote starts in the text, blanks and case set aside; of one with an ellipsis, its longest piece."""
    at = text.find(quote)
    if at >= 0:
        return at
    for piece in (quote, max(_ELLIPSIS.split(quote), key=len)):
        words = piece.split()
        if words and len(piece) >= min(MIN_FRAGMENT_CHARACTERS, len(quote)):
            pattern = r"\s+".join(re.escape(word) for word in words)
            if match := re.search(pattern, text, re.IGNORECASE):
                return match.start()
    return None


def _grounded(piece: Evidence, text: str, page_starts: Sequence[tuple[int, int]]) -> Evidence | None:
    at = find_quote(piece.quote, text) if piece.quote.strip() else None
    if at is None:
        return None
    place = bisect_right(page_starts, at, key=lambda start: start[0]) - 1
    return piece.model_copy(update={"page": page_starts[place][1]}) if place >= 0 else piece
