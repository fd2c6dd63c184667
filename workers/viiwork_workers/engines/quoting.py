"""Answer a question with sentences of the passage."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from viiwork_workers.engines.embeddings import Embedder
from viiwork_workers.engines.expectations import shows_what_is_asked, subject_words
from viiwork_workers.engines.ranking import Scores, bm25, cosine, hybrid, words
from viiwork_workers.engines.sentences import Kind, Sentence, sentences

WINDOW_CHARACTERS = 540
"""How far the text around a sentence reaches: about 90 words."""
PIECES = 1500
LISTED = 4
FITS = 2.5
"""Standard deviations that a sentence gains for showing a date where a date is asked for."""
FLOOR = 0.35
"""Below this confidence there is no answer."""
NO_ANSWER = "no confident answer"


@dataclass(frozen=True, slots=True)
class Quoted:
    """The sentences that answer, best first as read, and how sure it is that they do (0 to 1)."""

    pieces: tuple[Sentence, ...]
    confidence: float


def answer(passage: str, *, question: str, embedder: Embedder) -> Quoted:
    """The best sentence for the question; a line that only leads in brings what it leads to."""
    pieces = [piece for piece in sentences(passage) if any(mark.isalnum() for mark in piece.text)][:PIECES]
    if not pieces:
        return Quoted((), 0.0)
    windows = headed_windows(pieces)
    similarity, context = _meaning(pieces, windows, question=question, embedder=embedder)
    asked = subject_words(question)
    lexical = bm25(asked, [words(piece.text) for piece in pieces])
    around = bm25(asked, [words(text) for text in windows])
    fits = shows_what_is_asked(question, pieces)
    score = hybrid(similarity, lexical) + 0.5 * hybrid(context, around) + FITS * fits - unfitness(pieces)
    best = int(np.argmax(score))
    sure = certainty(asked, pieces[best], windows[best], similarity=float(similarity[best]), fits=float(fits[best]))
    return Quoted(tuple(led_to(pieces, best)), sure)


def led_to(pieces: Sequence[Sentence], place: int) -> list[Sentence]:
    """The sentence, and the list that follows when it ends with a colon."""
    taken = [pieces[place]]
    if pieces[place].text.endswith(":"):
        for piece in pieces[place + 1 : place + 1 + LISTED]:
            if piece.kind not in (Kind.BULLET, Kind.ROW, pieces[place + 1].kind):
                break
            taken.append(piece)
    return taken


def headed_windows(pieces: Sequence[Sentence]) -> list[str]:
    """The text around each piece: the heading it stands under and its neighbours, up to WINDOW_CHARACTERS."""
    heading, windows = "", []
    for place, piece in enumerate(pieces):
        if piece.kind is Kind.HEADING:
            heading = piece.text
        windows.append(f"{heading}. {_neighbours(pieces, place)}")
    return windows


def _neighbours(pieces: Sequence[Sentence], place: int) -> str:
    first, last = max(0, place - 1), place + 1
    while last < len(pieces) and pieces[last].start - pieces[first].start < WINDOW_CHARACTERS:
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


def unfitness(pieces: Sequence[Sentence]) -> Scores:
    """What a piece loses for being no sentence: headings, heads of tables and questions answer nothing."""
    after: Sequence[Sentence | None] = [*pieces[1:], None]
    before: Sequence[Sentence | None] = [None, *pieces]
    return np.array([_unfit(*three) for three in zip(before, pieces, after, strict=False)])


def _unfit(before: Sentence | None, piece: Sentence, after: Sentence | None) -> float:
    if piece.kind is Kind.HEADING:
        return 3.0 if any(character.isdigit() for character in piece.text) else 20.0
    if piece.text.endswith("?") or piece.text.startswith("Subject:"):
        return 4.0
    begins_table = not _is_row(before) and _is_row(piece) and _is_row(after)
    return 2.5 * begins_table + 0.8 * piece.text[0].islower()


def _is_row(piece: Sentence | None) -> bool:
    return piece is not None and piece.kind is Kind.ROW and " | " in piece.text


def certainty(asked: Sequence[str], piece: Sentence, around: str, *, similarity: float, fits: float) -> float:
    """How likely the sentence answers: the share of the question's words in it and near it, and the cosine."""
    wanted = set(asked)
    if not wanted:
        return 0.0
    inside = len(wanted & set(words(piece.text))) / len(wanted)
    near = len(wanted & set(words(around))) / len(wanted)
    signal = 2.2 * inside + 1.3 * near + 3.0 * similarity + 0.5 * fits - 2.9
    return float(1 / (1 + np.exp(-signal)))
