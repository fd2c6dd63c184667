"""The samples of this project, read and answered: nothing is downloaded for them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from bench.quality.desk import Desk
from bench.quality.fleet import Order, rows_of
from bench.report import Figure, Report
from viiwork.documents import Document, Limits
from viiwork.documents.parse import parse
from viiwork.jobs import Row
from viiwork.work import Label

SAMPLES = Path(__file__).resolve().parents[2] / "samples"
DOCUMENTS = SAMPLES / "documents"


@cache
def expected() -> dict[str, Any]:
    """What is known of the samples."""
    told: dict[str, Any] = json.loads((SAMPLES / "expected.json").read_text("utf-8"))
    return told


def good_names() -> list[str]:
    """Of those that can be read."""
    return [name for name, facts in expected()["files"].items() if not facts["bad"]]


def good_samples() -> Iterator[Document]:
    """They are ours and harmless: no process of their own."""
    for name in good_names():
        yield parse((DOCUMENTS / name).read_bytes(), name=name, limits=Limits())


async def measure(desk: Desk) -> Report:
    """Labels and facts that are right, through a fleet."""
    names = desk.some(good_names())
    labels = tuple(Label(name=name, description=text) for name, text in expected()["labels"].items())
    orders = [Order("classify", [DOCUMENTS / name for name in names], {"labels": labels})]
    orders += [Order("ask", [DOCUMENTS / name], {"questions": tuple(_facts(name))}) for name in names]
    classified, *asked = await rows_of(desk, orders, "the samples")
    rows = {row.document: row for row in classified}  # what is attached to an e-mail has a row of its own
    return Report("samples", figures([rows[name] for name in names], list(map(of_document, names, asked))))


def figures(classified: Sequence[Row], asked: Sequence[Row]) -> dict[str, Figure]:
    """Without a floor: some of what the preview knows of forms was written while looking at these files."""
    labels = [row.answer is not None and row.answer.label == _label(row.document) for row in classified]
    held = [right for row in asked for right in _held(row)]
    return {
        "labels_right": sum(labels) / len(labels),
        "facts_right": sum(held) / len(held),
        "documents": len(labels),
        "questions": len(held),
    }


def of_document(name: str, rows: Sequence[Row]) -> Row:
    """Its own row, beside those of what is attached to it."""
    return next(row for row in rows if row.document == name)


def _held(row: Row) -> Iterator[bool]:
    """For each question whether its answer holds one of the pieces of text that it must."""
    replies = {reply.question: reply.text for reply in row.answer.answers} if row.answer else {}
    for question, accepted in _facts(row.document).items():
        yield any(_plain(piece) in _plain(replies.get(question, "")) for piece in accepted)


def _label(name: str) -> str:
    return str(expected()["files"][name]["label"])


def _facts(name: str) -> Mapping[str, Sequence[str]]:
    facts: Mapping[str, Sequence[str]] = expected()["files"][name]["facts"]
    return facts


def _plain(text: str) -> str:
    return " ".join(text.split()).casefold()
