"""Extraction from generated invoices and letters, by exact fields: of the merge alone, and of a language model."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from bench.quality.clerk import clerk
from bench.quality.desk import SEED, Desk
from bench.quality.fleet import Order, rows_of
from bench.quality.papers import SCHEMAS, Paper, papers
from bench.report import Figure, Goal, Report
from viiwork.jobs import Row
from viiwork.multipart import TextDocument
from viiwork.settings import EngineSection

GOALS = (Goal("f1", at_least=0.98),)
PAPERS = 60
CONTEXT_TOKENS = 2048
"""Of the scripted engine: a long paper has several parts."""
OUTPUT_TOKENS = 700
USUAL_CONTEXT_TOKENS = 8192
"""Of a language model that nobody has told of."""


async def merge(desk: Desk, *, count: int = PAPERS) -> Report:
    """The merge's own: an engine by rules reads the parts, and everything else is as it ever is."""
    with clerk() as url:
        engine = EngineSection(kind="url", url=url, slots=8, context_tokens=CONTEXT_TOKENS, canary=False, keep_s=0)
        made = papers(count, seed=SEED)
        rows = await _rows(replace(desk, engine=engine), made, output_tokens=OUTPUT_TOKENS)
    return Report("merge", figures(made, rows), GOALS)


async def measure(desk: Desk) -> Report:
    """The engine's own. No floor: it is the model that is measured."""
    made = desk.some(papers(PAPERS, seed=SEED))
    # half of the context: a part's lines are all written down once more, each with its quote
    tokens = (desk.engine.context_tokens or USUAL_CONTEXT_TOKENS) // 2
    rows = await _rows(desk, made, output_tokens=tokens)
    return Report("extract", figures(made, rows))


async def _rows(desk: Desk, made: Sequence[Paper], *, output_tokens: int) -> list[Row]:
    """Of each paper, in their order: one analysis a kind, since each has a schema of its own."""
    kinds = [kind for kind in SCHEMAS if any(paper.kind == kind for paper in made)]
    orders = [
        Order(
            "extract",
            [TextDocument(paper.text, name=paper.name) for paper in made if paper.kind == kind],
            {"schema": SCHEMAS[kind], "max_output_tokens": output_tokens},
        )
        for kind in kinds
    ]
    found = {row.document: row for rows in await rows_of(desk, orders, "papers") for row in rows}
    return [found[paper.name] for paper in made]


def figures(made: Sequence[Paper], rows: Sequence[Row]) -> dict[str, Figure]:
    """F1 over the fields of all papers: a value counts where it is exactly that; a list's items each for themselves.

    Values whose quote is marked unsupported are left out, as a careful reader does; `f1_with_unsupported` has them.
    """
    truth = [values(paper.fields) for paper in made]
    shown, all_told = [values(_supported(row)) for row in rows], [values(_told(row)) for row in rows]
    pieces = [piece for row in rows if row.answer for piece in row.answer.evidence]
    precision, recall, f1 = _scores(truth, shown)
    return {
        "f1": f1,
        "precision": precision,
        "recall": recall,
        "f1_with_unsupported": _scores(truth, all_told)[2],
        "fields": sum(one.total() for one in truth),
        "papers": len(made),
        "of_several_parts": sum(row.answer.parts > 1 for row in rows if row.answer),
        "failed": sum(row.answer is None for row in rows),
        "quotes_unsupported": sum(piece.unsupported for piece in pieces) / max(1, len(pieces)),
    }


def values(fields: Mapping[str, Any]) -> Counter[str]:
    """Each value with its field's name, as often as it is there; what is null is not."""
    return Counter(_values(fields))


def _values(fields: Mapping[str, Any]) -> Iterator[str]:
    for name, value in fields.items():
        for one in value if isinstance(value, list) else [value]:
            if one is not None:
                yield f"{name}={json.dumps(one, sort_keys=True)}"


def _told(row: Row) -> Mapping[str, Any]:
    return row.answer.value if row.answer and isinstance(row.answer.value, dict) else {}


def _supported(row: Row) -> Mapping[str, Any]:
    """What was told, without the values and items that nothing in the document gives."""
    marked = {piece.field for piece in row.answer.evidence if piece.unsupported} if row.answer else set[str]()
    return {
        name: [one for at, one in enumerate(value) if f"/{name}/{at}" not in marked]
        if isinstance(value, list)
        else value
        for name, value in _told(row).items()
        if f"/{name}" not in marked
    }


def _scores(truth: Sequence[Counter[str]], told: Sequence[Counter[str]]) -> tuple[float, float, float]:
    """Precision, recall and F1."""
    wanted, said = sum(one.total() for one in truth), sum(one.total() for one in told)
    right = sum((one & other).total() for one, other in zip(truth, told, strict=True))
    return right / max(1, said), right / max(1, wanted), 2 * right / max(1, wanted + said)
