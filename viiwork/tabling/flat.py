"""A row of results as flat cells, and which columns many rows have between them. Pure.

What is nested in a value becomes a column a field (`value.address.city`); a list stands in one cell as JSON. Notes and
quotes, of which there are any number, are one cell of lines each. Several questions have three columns each: a row
stays a document, as those who count documents want it, and a question is what was found out about it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from viiwork.tabling.expected import columns_in

Cell = str | int | float | bool | None
Cells = dict[str, Cell]

FIRST = ("document", "custom_id", "state")
"""Before what was found, which people look for first."""
MADE = ("task_hash", "model", "revision", "quantization", "engine", "engine_version", "attempt")
LAST = (
    *("label", "confidence", "text"),
    *(
        "rationale",
        "quotes",
        "notes",
        "notice",
        "pages",
        "parts",
        "calls",
        "prompt_tokens",
        "output_tokens",
        "finish_reason",
    ),
    *("title", "author", "created", "language"),
    *("error_code", "error_message", "error_hint", "seconds", "energy_j", "energy_unknown_jobs", "energy_simulated"),
    *("analysis", "index"),
    *MADE,
)
VALUE, METADATA = "value", "metadata"
MOST_FIELDS = 500
"""Columns that values, or metadata, may become; with more, each row's stand in one cell as JSON."""
DEEPEST = 8


def fields_of(value: Any, name: str, *, depth: int = 0) -> Iterator[tuple[str, Cell]]:
    """The columns of a value and what stands in them. A dot of a field's own name gets a backslash."""
    if isinstance(value, Mapping) and value and depth < DEEPEST:
        for key, inner in value.items():
            yield from fields_of(inner, f"{name}.{str(key).replace('.', chr(92) + '.')}", depth=depth + 1)
    else:
        yield name, as_cell(value)


def as_cell(value: Any) -> Cell:
    """A scalar as it is, anything else as JSON."""
    if value is None or isinstance(value, str | int | float | bool):
        return value
    return json.dumps(value, ensure_ascii=False)


@dataclass(slots=True)
class Columns:
    """The columns that rows need, put down while one looks through them."""

    values: dict[str, None] = field(default_factory=dict)
    answers: dict[str, None] = field(default_factory=dict)
    """Of several questions, or labels."""
    metadata: dict[str, None] = field(default_factory=dict)

    def see(self, row: Mapping[str, Any]) -> None:
        """Take one row's columns in."""
        self._widen(self.values, VALUE, value_of(row))
        self.answers.update(dict.fromkeys(several_of(row)))
        self._widen(self.metadata, METADATA, row.get(METADATA) or None)

    @property
    def names(self) -> tuple[str, ...]:
        """All of them, in their order."""
        return (*FIRST, *self.values, *self.answers, *LAST, *self.metadata)

    def cells(self, row: Mapping[str, Any]) -> list[Cell]:
        """A row's cells in that order."""
        found = fixed(row) | several_of(row)
        for columns, name, said in ((self.values, VALUE, value_of(row)), (self.metadata, METADATA, row.get(METADATA))):
            if said is not None:
                found |= {name: as_cell(said)} if len(columns) == 1 and name in columns else dict(fields_of(said, name))
        return [found.get(name) for name in self.names]

    def expect(self, schema: Mapping[str, Any] | None) -> None:
        """Take in what a schema asks for, unless that is too much for a table."""
        asked = columns_in(schema, VALUE, deepest=DEEPEST) if schema else ()
        if asked != (VALUE,) and len(asked) <= MOST_FIELDS:
            self.values.update(dict.fromkeys(asked))

    def _widen(self, columns: dict[str, None], name: str, said: Any) -> None:
        if said is None or (len(columns) == 1 and name in columns and isinstance(said, Mapping)):
            return
        columns.update(dict.fromkeys(column for column, _ in fields_of(said, name)))
        if len(columns) > MOST_FIELDS:
            columns.clear()
            columns[name] = None


def columns_of(rows: Iterable[Mapping[str, Any]], schema: Mapping[str, Any] | None = None) -> Columns:
    """The columns of all these rows, and of the schema by which they were asked for."""
    columns = Columns()
    columns.expect(schema)
    for row in rows:
        columns.see(row)
    return columns


def value_of(row: Mapping[str, Any]) -> Any:
    """What was extracted, or answered as JSON; None without."""
    return (row.get("answer") or {}).get(VALUE)


def several_of(row: Mapping[str, Any]) -> Cells:
    """The answers to several questions, each with whether the document has it and what it rests on; or which labels."""
    answer = row.get("answer") or {}
    cells: Cells = {f"label.{name}": name in (answer.get("labels") or ()) for name in shares_of(answer)}
    for place, reply in enumerate(answer.get("answers") or (), start=1):
        cells[f"q{place}: {' '.join(str(reply.get('question', '')).split())}"] = reply.get("text")
        cells[f"q{place} answered"] = reply.get("answered")
        cells[f"q{place} quotes"] = quotes_of(reply)
    return cells


def shares_of(answer: Mapping[str, Any]) -> Mapping[str, float]:
    """Of an answer that may have several labels the shares of all there are; empty for any other."""
    return {} if answer.get("label") is not None else answer.get("scores") or {}


def reasons_of(answer: Mapping[str, Any]) -> str:
    """Why the label holds; of several labels, why each does, a line each."""
    reasons = answer.get("rationales") or {}
    if answer.get("label") is not None:
        return str(reasons.get(answer["label"], ""))
    return "\n".join(f"{name}: {why}" for name, why in reasons.items())


def fixed(row: Mapping[str, Any]) -> Cells:
    """The cells that every row has, whatever was asked.

    A value, or the answers to several questions, stand in columns of their own, and not in `text` too.
    """
    answer = row.get("answer") or {}
    error, made = row.get("error") or {}, row.get("made") or {}
    usage, about = row.get("usage") or answer.get("usage") or {}, answer.get("about") or {}
    cells: Cells = {
        name: row.get(name)
        for name in (*FIRST, "analysis", "index", "calls", "seconds", "energy_j", "energy_simulated")
    }
    cells |= {name: answer.get(name) for name in ("label", "confidence", "notice", "pages", "parts", "finish_reason")}
    cells["label"] = "; ".join(answer.get("labels") or ()) or cells["label"]
    cells["rationale"] = reasons_of(answer)
    cells["text"] = None if answer.get(VALUE) is not None or answer.get("answers") else answer.get("text")
    cells["energy_unknown_jobs"] = row.get("energy_unknown_jobs")
    cells |= {"quotes": quotes_of(answer), "notes": "\n".join(answer.get("notes") or ())}
    cells |= {name: usage.get(name) for name in ("prompt_tokens", "output_tokens")}
    cells |= {name: about.get(name) for name in ("title", "author", "created", "language")}
    cells |= {f"error_{name}": error.get(name) for name in ("code", "message", "hint")}
    return cells | {name: made.get(name) for name in MADE}


def quotes_of(answer: Mapping[str, Any]) -> str:
    """The quotes of an answer, one a line, each with what it gives, its page, and whether it is in the document."""
    return "\n".join(quote_line(quote) for quote in answer.get("evidence") or ())


def quote_line(quote: Mapping[str, Any]) -> str:
    """`“To pay within 30 days” (/terms, p. 3)`."""
    marks = [str(quote.get("field") or ""), f"p. {quote['page']}" if quote.get("page") else ""]
    marks.append("not in the document" if quote.get("unsupported") else "")
    said = ", ".join(filter(None, marks))
    return f"“{' '.join(str(quote.get('quote', '')).split())}”" + (f" ({said})" if said else "")
