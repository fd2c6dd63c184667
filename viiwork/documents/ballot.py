"""The labels of a document's parts put together, where several may hold. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from viiwork.documents.labelling import labelled, names
from viiwork.documents.provenance import UNSUPPORTED
from viiwork.documents.signatures import signatures
from viiwork.work import Answer, Evidence, TaskOptions, Usage

MAX_A_LABEL = 3
"""Quotes that are kept for one label of a document."""
PROOF_CHARACTERS, PROOF_WORDS = 12, 3
"""Of a quote that proves anything, the one or the other: `a` stands in every document."""
FROM_CJK = "\u2e80"
"""From here on signs are words or parts of them, written without blanks: each counts as three characters."""


def union(options: TaskOptions, answers: Sequence[Answer]) -> Answer:
    """All labels that hold for a document, by what its parts have.

    A label holds where a part proves it with enough words that the document contains, or where half of the parts have
    it: a label that one part of many has without proof is mostly made up. Where no quotes were asked for, one part is
    enough.
    `scores` are the shares of the parts that have each label, held or not.
    """
    had = {name: [answer for answer in answers if name in answer.labels] for name in names(options)}
    held = [name for name, some in had.items() if some and _holds(options, name, some, parts=len(answers))]
    evidence = tuple(piece for name in held for piece in _proofs(name, had[name])[:MAX_A_LABEL])
    rationales = {name: why for name in held if (why := _why(name, had[name]))}
    whole = labelled(options, held, rationales, evidence)
    notes = dict.fromkeys(note for answer in answers for note in answer.notes if note != UNSUPPORTED)
    if any(piece.unsupported for piece in evidence):
        notes[UNSUPPORTED] = None
    update = {
        **{name: getattr(whole, name) for name in ("text", "labels", "rationales", "evidence")},
        "scores": {name: len(some) / len(answers) for name, some in had.items()},
        "usage": sum((answer.usage for answer in answers), Usage()),
        "parts": sum(answer.parts for answer in answers),
        "notes": tuple(notes),
        "value": None,
        **signatures(answers),
    }
    return answers[0].model_copy(update=update)


def _holds(options: TaskOptions, name: str, had: Sequence[Answer], *, parts: int) -> bool:
    proved = any(map(_proves, _proofs(name, had)))
    return proved or not options.quotes or 2 * len(had) >= parts


def _proves(piece: Evidence) -> bool:
    """Whether the document contains it, and it is long enough to say something."""
    words = [word for word in piece.quote.split() if any(map(str.isalnum, word))]
    written = sum(3 if sign >= FROM_CJK else 1 for sign in " ".join(words))
    return not piece.unsupported and (written >= PROOF_CHARACTERS or len(words) >= PROOF_WORDS)


def _proofs(name: str, had: Sequence[Answer]) -> list[Evidence]:
    """The quotes for a label, those that the document contains first."""
    found = [piece for answer in had for piece in answer.evidence if piece.field == name]
    return sorted(found, key=lambda piece: piece.unsupported)


def _why(name: str, had: Sequence[Answer]) -> str:
    """What the first part that proves it says, else the first that says anything."""
    proved = [answer for answer in had if any(map(_proves, _proofs(name, [answer])))]
    return next((why for answer in (*proved, *had) if (why := answer.rationales.get(name))), "")
