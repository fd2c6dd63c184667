"""Classify a passage without training: the label whose name and description lie nearest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from viiwork.work import Label
from viiwork_workers.engines.extractive.embeddings import Embedder, Matrix
from viiwork_workers.engines.extractive.forms import looks
from viiwork_workers.engines.extractive.ranking import Scores, content_words, cosine
from viiwork_workers.engines.extractive.sentences import Kind, Sentence, sentences

SHARPNESS = 14.0
"""Of the softmax over cosines: chosen so that the confidence is about how often the label is right."""
NAMED = 0.12
"""Added to the cosine of a label whose own name stands in the title or among the first headings."""
LOOKS = 0.45
"""Times how much a passage looks like the kind of document that a label names, added to its cosine."""
HEAD = 6
PIECES = 400
FEWEST_WORDS = 4


@dataclass(frozen=True, slots=True)
class Labelled:
    """The label, how likely each label is (they sum to 1), and the sentence that speaks most for it."""

    label: str
    scores: dict[str, float]
    quote: str


def classify(passage: str, *, title: str, labels: Sequence[Label], embedder: Embedder) -> Labelled:
    """Hold the whole passage against every label's name and description. `labels` is not empty."""
    pieces = [piece for piece in sentences(passage) if piece.kind is not Kind.BOILERPLATE]
    names = embedded([f"{label.name} {label.description}" for label in labels], embedder=embedder)
    whole = embedded([" ".join(piece.text for piece in pieces) or passage], embedder=embedder)
    headings = " ".join([title, *(piece.text for piece in pieces[:HEAD] if piece.kind is Kind.HEADING)])
    form = LOOKS * looks(passage, title=title, labels=labels)
    share = softmax(SHARPNESS * (cosine(names, whole) + NAMED * named(labels, headings) + form))
    best = int(np.argmax(share))
    return Labelled(
        label=labels[best].name,
        scores={label.name: round(float(part), 4) for label, part in zip(labels, share, strict=True)},
        quote=spokesman(passage, pieces, names[best : best + 1], embedder=embedder),
    )


def embedded(texts: Sequence[str], *, embedder: Embedder) -> Matrix:
    """Vectors of the texts in lower case: .60 right where the case as written gives .59."""
    return embedder.embed(embedder.tokens([text.lower() for text in texts]))


def named(labels: Sequence[Label], headings: str) -> Scores:
    """1 for each label whose own name stands in the headings."""
    met = set(content_words(headings))
    return np.array([float(bool(met & set(content_words(label.name)))) for label in labels])


def spokesman(passage: str, pieces: Sequence[Sentence], label: Matrix, *, embedder: Embedder) -> str:
    """The verbatim sentence that lies nearest to the label; nothing when there is none."""
    telling = [piece for piece in pieces if len(piece.text.split()) >= FEWEST_WORDS][:PIECES]
    if not telling:
        return ""
    nearness = cosine(embedded([piece.text for piece in telling], embedder=embedder), label)
    best = telling[int(np.argmax(nearness))]
    return passage[best.start : best.end]


def softmax(values: Scores) -> Scores:
    """Shares that sum to 1."""
    raised = np.exp(values - values.max())
    shares: Scores = raised / raised.sum()
    return shares
