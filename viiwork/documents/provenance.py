"""Which page and characters of a document the quotes of an answer stand on. Pure."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence

from viiwork.documents.quotes import Span, Text
from viiwork.work import Answer, Evidence

UNSUPPORTED = "A quotation of the answer is marked unsupported: the document does not contain it."
LONG_CHARACTERS = 20_000
"""Quotes in texts over this length are looked for beside the loop."""


def ground(answer: Answer, text: str, page_starts: Sequence[tuple[int, int]], *, start: int = 0) -> Answer:
    """The answer with page and span of each quote; one that `text` does not hold is marked, with a note.

    `page_starts` are a chunk's: (character of `text`, page), in order. `start` is where the text starts in its
    document, whose characters the spans count. One that stands there with other figures has both place and mark.
    """
    if not answer.evidence:
        return answer
    place = Text(text)
    return _with(answer, [_grounded(piece, place.find(piece.quote), page_starts, start) for piece in answer.evidence])


def trace(answer: Answer, below: Iterable[Answer]) -> Answer:
    """The answer of a reduce call, whose quotes have the places that they had in the answers that it was made from.

    A quote that none of those has is marked, with a note.
    """
    if not answer.evidence:
        return answer
    known = [piece for piece in placed(below) if piece.quote.strip()]
    same = {_squeezed(piece.quote): piece for piece in reversed(known)}
    # what was found below, one after the other: a quote that was copied once more is aligned in that
    starts, at = list[int](), 0
    for piece in known:
        starts.append(at)
        at += len(piece.quote) + 1
    joined = Text("\n".join(piece.quote for piece in known))
    traced = list[Evidence]()
    for piece in answer.evidence:
        source = same.get(_squeezed(piece.quote)) or _source(joined.find(piece.quote), known, starts)
        traced.append(_at_source(piece, source))
    return _with(answer, traced)


def placed(answers: Iterable[Answer]) -> Iterator[Evidence]:
    """The quotes that were found in the document, in order; those of reduce calls have no places of their own."""
    for answer in answers:
        for piece in answer.evidence:
            if not piece.unsupported and (piece.start is not None or piece.page is not None):
                yield piece


def _grounded(
    piece: Evidence, span: Span | None, page_starts: Sequence[tuple[int, int]], document_start: int
) -> Evidence:
    if span is None:
        return piece.model_copy(update={"unsupported": True})
    place = bisect_right(page_starts, span.start, key=lambda start: start[0]) - 1
    found = {
        "start": document_start + span.start,
        "end": document_start + span.end,
        "page": page_starts[place][1] if place >= 0 else piece.page,
        "unsupported": not span.agrees,
    }
    return piece.model_copy(update=found)


def _source(span: Span | None, known: Sequence[Evidence], starts: Sequence[int]) -> Evidence | None:
    if span is None or not span.agrees:
        return None
    return known[bisect_right(starts, (span.start + span.end) // 2) - 1]


def _at_source(piece: Evidence, source: Evidence | None) -> Evidence:
    if source is None:
        return piece.model_copy(update={"unsupported": True})
    return piece.model_copy(update={"page": source.page, "start": source.start, "end": source.end})


def _with(answer: Answer, evidence: Sequence[Evidence]) -> Answer:
    marked = any(piece.unsupported for piece in evidence)
    notes = tuple(dict.fromkeys((*answer.notes, UNSUPPORTED))) if marked else answer.notes
    return answer.model_copy(update={"evidence": tuple(evidence), "notes": notes})


def _squeezed(text: str) -> str:
    return " ".join(text.split())
