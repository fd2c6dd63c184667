"""Answer a question with sentences of the passage."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from viiwork_workers.engines.embeddings import Embedder
from viiwork_workers.engines.ranking import Scores, bm25, content_words, cosine, hybrid, words
from viiwork_workers.engines.sentences import Kind, Sentence, sentences

WINDOW_WORDS = 90
"""A passage that is scored as a whole is about this long."""
PIECES = 1500
FLOOR = 0.35
"""Below this confidence there is no answer."""
NO_ANSWER = "no confident answer"

MONTH = r"(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*"
DATE = (
    rf"\b(?:\d{{1,2}}(?:st|nd|rd|th)?\s+(?:of\s+)?{MONTH}|{MONTH}\.?\s+\d{{1,2}}|\d{{4}}-\d\d-\d\d|"
    r"\d{1,2}[/.]\d{1,2}[/.]\d{2,4}|(?:19|20)\d\d)\b"
)
MONEY = r"[$€£¥]\s?\d|\b\d[\d.,]*\s*(?:usd|eur|gbp|chf|dollars?|euros?|pounds?|percent|per cent|%)"
TIME = r"\b\d{1,2}[:.]\d\d\b|\b\d{1,2}\s*(?:am|pm|a\.m|p\.m)\b|\b(?:mon|tues|wednes|thurs|fri|satur|sun)day\b"
SPAN = (
    r"\b(?:\d+|one|two|three|four|five|six|seven|eight|nine|ten|twelve|thirty|sixty|ninety)\b[\s()\d-]*"
    r"(?:calendar |business |working )?(?:seconds?|minutes?|hours?|days?|weeks?|months?|years?)\b"
)
NUMBER = r"\d|\b(?:two|three|four|five|six|seven|eight|nine|ten|twelve|dozen|hundred|thousand|million)\b"
NAME = r"(?<!^)(?<![.!?]\s)\b[A-Z][a-z]+"
EXPECTED: tuple[tuple[re.Pattern[str], re.Pattern[str]], ...] = tuple(
    (re.compile(asked, re.I), re.compile(told, flags))
    for asked, told, flags in (
        (r"\bhow (?:long|soon|quickly)\b|\bnotice period\b|\bwhat (?:period|term)\b", SPAN, re.I),
        (r"\bhow much\b|\b(?:price|cost|fee|salary|rent|amount|budget|revenue|total)\b", MONEY, re.I),
        (r"\bhow (?:many|often|old|big|large|far|high)\b|\b(?:number|percentage|rate) of\b", NUMBER, re.I),
        (r"\bwhat time\b", TIME, re.I),
        (
            r"\bwhen\b|\b(?:what|which) (?:date|day|year|month)\b|\bdeadline\b|\bby what date\b|\bdue\b",
            f"{DATE}|{TIME}|{SPAN}",
            re.I,
        ),
        (r"\bwho(?:se|m)?\b", NAME, 0),
        (
            r"\bwhere\b|\bwhich (?:city|country|place)\b|\baddress\b",
            rf"\b(?:in|at|near|from|to)\s+(?:the\s+)?[A-Z]|{NAME}",
            0,
        ),
        (
            r"\bwhy\b|\bwhat caused\b|\breason\b",
            r"\b(?:because|due to|since|caused|reason|as a result|owing to|so that|in order to)\b",
            re.I,
        ),
    )
)
"""What a question asks for, and what an answer to it must show."""


@dataclass(frozen=True, slots=True)
class Quoted:
    """The sentences that answer, best first as read, and how sure it is that they do (0 to 1)."""

    pieces: tuple[Sentence, ...]
    confidence: float


def answer(passage: str, *, question: str, embedder: Embedder) -> Quoted:
    """The best sentence for the question, with the next one when the answer runs on into it."""
    pieces = [piece for piece in sentences(passage) if not _is_empty(piece)][:PIECES]
    if not pieces:
        return Quoted((), 0.0)
    windows = [window(pieces, place) for place in range(len(pieces))]
    similarity, context = _meaning(pieces, windows, question=question, embedder=embedder)
    asked = content_words(question)
    lexical = bm25(asked, [words(piece.text) for piece in pieces])
    around = bm25(asked, [words(text) for text in windows])
    fits = shows_what_is_asked(question, pieces)
    score = hybrid(similarity, lexical) + 0.5 * hybrid(context, around) + 1.2 * fits - unready(pieces)
    best = int(np.argmax(score))
    confidence = certainty(
        asked, pieces[best], windows[best], similarity=float(similarity[best]), fits=float(fits[best])
    )
    return Quoted((pieces[best],), confidence)


def window(pieces: Sequence[Sentence], place: int) -> str:
    """The text around a sentence: its neighbours up to WINDOW_WORDS."""
    first, last = max(0, place - 1), place + 1
    while last < len(pieces) and pieces[last].start - pieces[first].start < WINDOW_WORDS * 6:
        last += 1
    return " ".join(piece.text for piece in pieces[first:last])


def _meaning(
    pieces: Sequence[Sentence], windows: Sequence[str], *, question: str, embedder: Embedder
) -> tuple[Scores, Scores]:
    """Cosine of the question with each sentence and each window, centred on what the passage has in common."""
    inner, outer = embedder.tokens([piece.text for piece in pieces]), embedder.tokens(windows)
    frequency = embedder.frequency(inner)
    asked = embedder.embed(embedder.tokens([question]), frequency=frequency)
    rows, around = embedder.embed(inner, frequency=frequency), embedder.embed(outer, frequency=frequency)
    mean = around.mean(axis=0) if len(pieces) >= 8 else np.zeros_like(asked[0])
    return cosine(rows - mean, asked - mean), cosine(around - mean, asked - mean)


def shows_what_is_asked(question: str, pieces: Sequence[Sentence]) -> Scores:
    """1 for each sentence that has a date where a date is asked for, and so on; zeros for other questions."""
    for asked, told in EXPECTED:
        if asked.search(question):
            return np.array([float(bool(told.search(piece.text))) for piece in pieces])
    return np.zeros(len(pieces))


def unready(pieces: Sequence[Sentence]) -> Scores:
    """What a piece loses for being no sentence: headings and questions answer nothing."""
    return np.array([2.5 * (piece.kind is Kind.HEADING or piece.text.endswith("?")) for piece in pieces])


def certainty(asked: Sequence[str], piece: Sentence, around: str, *, similarity: float, fits: float) -> float:
    """How likely the sentence answers: the share of the question's words in it and near it, and the cosine."""
    wanted = set(asked)
    if not wanted:
        return 0.0
    inside = len(wanted & set(words(piece.text))) / len(wanted)
    near = len(wanted & set(words(around))) / len(wanted)
    signal = 2.2 * inside + 1.3 * near + 3.0 * similarity + 0.5 * fits - 2.9
    return float(1 / (1 + np.exp(-signal)))


def _is_empty(piece: Sentence) -> bool:
    return not any(character.isalnum() for character in piece.text)
