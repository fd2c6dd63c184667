"""Answer a question with sentences of the passage."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from viiwork.documents.tasks import UNSURE
from viiwork_workers.engines.extractive.embeddings import Embedder
from viiwork_workers.engines.extractive.expectations import shows_what_is_asked, subject_words
from viiwork_workers.engines.extractive.ranking import Scores, bm25, cosine, hybrid, words
from viiwork_workers.engines.extractive.sentences import Kind, Sentence, sentences

AROUND = 0.5
"""Weight of what stands around a sentence beside the sentence itself."""
REACH_CHARACTERS = 540
"""How far the text around a sentence reaches: about 90 words."""
PIECES = 1500
LISTED = 4
FITS = 2.5
"""Standard deviations that a sentence gains for showing a date where a date is asked for."""
FLOOR = 0.35
"""Below this confidence there is no answer."""
NO_ANSWER = UNSURE


T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Quoted:
    """The sentences that answer, best first as read, and how sure it is that they do (0 to 1)."""

    pieces: tuple[Sentence, ...]
    confidence: float


@dataclass(frozen=True, slots=True)
class Weighed:
    """A passage's pieces, what they were weighed by, and their places with the best one first."""

    pieces: list[Sentence]
    order: list[int]
    asked: Sequence[str]
    told: list[list[str]]
    near: list[list[str]]
    similarity: Scores
    fits: Scores


def answer(passage: str, *, question: str, embedder: Embedder) -> Quoted:
    """The best sentence for the question; a line that only leads in brings what it leads to."""
    weighed = weigh(passage, question=question, embedder=embedder)
    if weighed is None:
        return Quoted((), 0.0)
    best = weighed.order[0]
    similarity, fits = float(weighed.similarity[best]), float(weighed.fits[best])
    sure = certainty(weighed.asked, weighed.told[best], weighed.near[best], similarity=similarity, fits=fits)
    return Quoted(tuple(led_to(weighed.pieces, best)), sure)


def weigh(passage: str, *, question: str, embedder: Embedder) -> Weighed | None:
    """Every sentence held against the question; None for a passage without words."""
    pieces = [piece for piece in sentences(passage) if any(mark.isalnum() for mark in piece.text)][:PIECES]
    if not pieces:
        return None
    around = neighbourhoods(pieces)
    similarity, context = _meaning(pieces, around, question=question, embedder=embedder)
    told = [words(piece.text) for piece in pieces]
    near = _joined(told, around)
    asked = subject_words(question)
    fits = shows_what_is_asked(question, pieces)
    score = hybrid(similarity, bm25(asked, told)) + AROUND * hybrid(context, bm25(asked, near))
    order = np.argsort(-(score + FITS * fits - unfitness(pieces)), kind="stable")
    return Weighed(pieces, order.tolist(), asked, told, near, similarity, fits)


def led_to(pieces: Sequence[Sentence], place: int) -> list[Sentence]:
    """The sentence, and the list that follows when it ends with a colon."""
    taken = [pieces[place]]
    if pieces[place].text.endswith(":"):
        for piece in pieces[place + 1 : place + 1 + LISTED]:
            if piece.kind not in (Kind.BULLET, Kind.ROW, pieces[place + 1].kind):
                break
            taken.append(piece)
    return taken


def neighbourhoods(pieces: Sequence[Sentence]) -> list[list[int]]:
    """The places of what stands around each piece: its heading and its neighbours, up to REACH_CHARACTERS."""
    heading: list[int] = []
    around = []
    for place, piece in enumerate(pieces):
        if piece.kind is Kind.HEADING:
            heading = [place]
        first, last = max(0, place - 1), place + 1
        while last < len(pieces) and pieces[last].start - pieces[first].start < REACH_CHARACTERS:
            last += 1
        around.append([*heading, *range(first, last)])
    return around


def _joined(parts: Sequence[Sequence[T]], around: Sequence[Sequence[int]]) -> list[list[T]]:
    """For each neighbourhood the parts of all its pieces, one after the other."""
    return [[item for place in places for item in parts[place]] for places in around]


def _meaning(
    pieces: Sequence[Sentence], around: Sequence[Sequence[int]], *, question: str, embedder: Embedder
) -> tuple[Scores, Scores]:
    """Cosine of the question with each sentence and with what is around it, centred on the whole passage."""
    inner = embedder.tokens([piece.text for piece in pieces])
    frequency = embedder.frequency(inner)
    asked = embedder.embed(embedder.tokens([question]), frequency=frequency)
    rows = embedder.embed(inner, frequency=frequency)
    wide = embedder.embed(_joined(inner, around), frequency=frequency)
    # the mean of a few sentences is what they say, not what they have in common
    mean = wide.mean(axis=0) if len(pieces) >= 8 else np.zeros_like(asked[0])
    return cosine(rows - mean, asked - mean), cosine(wide - mean, asked - mean)


def unfitness(pieces: Sequence[Sentence]) -> Scores:
    """What a piece loses for being no sentence: headings, heads of tables and questions answer nothing."""
    after: Sequence[Sentence | None] = [*pieces[1:], None]
    before: Sequence[Sentence | None] = [None, *pieces]
    return np.array([_unfit(*three) for three in zip(before, pieces, after, strict=False)])


def _unfit(before: Sentence | None, piece: Sentence, after: Sentence | None) -> float:
    if piece.kind is Kind.HEADING:
        return 3.0 if any(character.isdigit() for character in piece.text) else 20.0
    if piece.text.endswith("?"):
        return 4.0
    if piece.text.startswith("Subject:"):
        return 2.0
    begins_table = not _is_row(before) and _is_row(piece) and _is_row(after)
    return 2.5 * begins_table + 0.8 * piece.text[0].islower()


def _is_row(piece: Sentence | None) -> bool:
    return piece is not None and piece.kind is Kind.ROW and " | " in piece.text


def certainty(
    asked: Sequence[str], told: Sequence[str], near: Sequence[str], *, similarity: float, fits: float
) -> float:
    """How likely the sentence answers: the share of the question's words in it and near it, and the cosine.

    The weights were set by hand on a few dozen questions: it ranks answers, it is no probability.
    """
    wanted = set(asked)
    if not wanted:
        return 0.0
    inside, beside = len(wanted & set(told)) / len(wanted), len(wanted & set(near)) / len(wanted)
    signal = 2.2 * inside + 1.3 * beside + 3.0 * similarity + 0.5 * fits - 2.9
    return float(1 / (1 + np.exp(-signal)))
