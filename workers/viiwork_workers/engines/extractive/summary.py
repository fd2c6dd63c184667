"""Summarize a passage by choosing sentences of it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from viiwork_workers.engines.extractive.embeddings import Embedder, Matrix, unit
from viiwork_workers.engines.extractive.ranking import Scores, cosine, lexrank, z_scores
from viiwork_workers.engines.extractive.sentences import Kind, Sentence, sentences

MOST_SENTENCES = 5
FEWEST_SENTENCES = 2
CANDIDATES = 400
"""LexRank compares each with each: more candidates than this are thinned out evenly after the opening."""
TOO_SIMILAR = 0.75
EARLY = 1.6
"""Standard deviations of centrality that standing first is worth."""
NEAR_TITLE = 0.5
ENOUGH = 12
OPENING = 3
"""The opening sentence is the best of this many."""


def summarize(passage: str, *, title: str, embedder: Embedder, max_tokens: int) -> list[Sentence]:
    """Two to five sentences in the order of the document, at most `max_tokens` long together.

    A passage without prose (a table, a form) gives its headings and first lines.
    """
    pieces = sentences(passage)
    candidates = thinned([piece for piece in pieces if is_candidate(piece)])
    if not candidates:
        return fitting(fallback(pieces), embedder=embedder, max_tokens=max_tokens)
    order = preference(candidates, title=title or headline(pieces), embedder=embedder)
    chosen = fitting([candidates[place] for place in order], embedder=embedder, max_tokens=max_tokens)
    return sorted(chosen, key=lambda piece: piece.start)


def headline(pieces: Sequence[Sentence]) -> str:
    """The first heading, or an e-mail's subject; nothing where there is neither."""
    lines = (piece.text for piece in pieces if piece.kind is Kind.HEADING or piece.text.startswith("Subject:"))
    return next(lines, "").removeprefix("Subject:").strip()


def is_candidate(piece: Sentence) -> bool:
    """Whether a reader could make sense of it on its own: a whole sentence of words."""
    text, words = piece.text, piece.text.split()
    if piece.kind not in (Kind.PROSE, Kind.BULLET) or not 5 <= len(words) <= 80:
        return False
    if text.lstrip("\"'“‘(")[:1].islower() or (":" in text[:40] and len(words) <= 12):
        return False
    letters = sum(character.isalpha() or character.isspace() for character in text)
    return letters >= 0.75 * len(text) and _is_whole(piece, words)


def _is_whole(piece: Sentence, words: Sequence[str]) -> bool:
    """Ends like a sentence; a bullet may go without, unless it is a list of names."""
    if piece.text.rstrip("\"'”’)")[-1:] in ".!…":
        return True
    names = sum(word[0].isupper() for word in words[1:])
    return piece.kind is Kind.BULLET and len(words) >= 8 and names < 0.3 * len(words)


def thinned(candidates: Sequence[Sentence]) -> list[Sentence]:
    """At most CANDIDATES of them, evenly spread, the opening kept."""
    if len(candidates) <= CANDIDATES:
        return list(candidates)
    spread = np.linspace(OPENING, len(candidates) - 1, CANDIDATES - OPENING).astype(int)
    return [*candidates[:OPENING], *(candidates[place] for place in spread)]


def preference(candidates: Sequence[Sentence], *, title: str, embedder: Embedder) -> list[int]:
    """Places of the sentences to take, the best first: the opening, then the most central that say something new."""
    tokens = embedder.tokens([piece.text for piece in candidates])
    rows = embedder.embed([*tokens, *embedder.tokens([title])], frequency=embedder.frequency(tokens))
    score = importance(candidates, rows[:-1], title=rows[-1:])
    opening = int(np.argmax(score[:OPENING]))
    wanted = int(np.clip(-(-len(candidates) // 3) + 1, FEWEST_SENTENCES, MOST_SENTENCES))
    return spread_out(rows[:-1], score, first=opening, wanted=wanted)


def importance(candidates: Sequence[Sentence], rows: Matrix, *, title: Matrix) -> Scores:
    """LexRank, nearness to the title and standing early, less for what reads badly on its own."""
    # among a handful of sentences centrality is chance
    central = min(1.0, len(candidates) / ENOUGH) * z_scores(lexrank(rows))
    early = EARLY * np.exp(-np.arange(len(candidates)) / 3.0)
    shape = np.array([awkwardness(piece, first=number == 0) for number, piece in enumerate(candidates)])
    score: Scores = central + NEAR_TITLE * z_scores(cosine(rows, title)) + early - shape
    return score


LEANING = (
    "this ",
    "that ",
    "these ",
    "those ",
    "it ",
    "he ",
    "she ",
    "they ",
    "however",
    "but ",
    "and ",
    "also",
    "such ",
    "therefore",
)


def awkwardness(piece: Sentence, *, first: bool) -> float:
    """How badly the sentence reads on its own: 0 is well."""
    count = len(piece.text.split())
    length = 0.5 * max(0, 9 - count) / 4 + max(0, count - 40) / 20
    leaning = 0.6 if piece.text.lower().startswith(LEANING) and not first else 0.0
    labelled = 1.5 if ":" in piece.text[:40] else 0.0
    return length + leaning + labelled + (0.8 if piece.text.endswith("?") else 0.0)


def spread_out(rows: Matrix, score: Scores, *, first: int, wanted: int) -> list[int]:
    """`wanted` places by score, none of them saying what an earlier one says."""
    directions = unit(rows)
    taken = [first]
    for place in np.argsort(-score, kind="stable"):
        if len(taken) == wanted:
            break
        nearest = float((directions[taken] @ directions[place]).max())
        if nearest < TOO_SIMILAR:
            taken.append(int(place))
    return taken


def fallback(pieces: Sequence[Sentence]) -> list[Sentence]:
    """What stands for a passage without prose: headings first, then lines that are not boilerplate."""
    telling = [piece for piece in pieces if piece.kind is not Kind.BOILERPLATE] or list(pieces)
    headings = [piece for piece in telling if piece.kind is Kind.HEADING][:2]
    return headings + [piece for piece in telling if piece not in headings][: MOST_SENTENCES - len(headings)]


def fitting(chosen: Sequence[Sentence], *, embedder: Embedder, max_tokens: int) -> list[Sentence]:
    """As many as fit in `max_tokens`, the first of them always."""
    kept: list[Sentence] = []
    left = max_tokens
    for piece in chosen:
        cost = embedder.count(piece.text)
        if kept and cost > left:
            continue
        kept.append(piece)
        left -= cost
    return kept
