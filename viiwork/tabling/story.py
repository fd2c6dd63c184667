"""Rows as a report in Markdown: a section a document, with its answer, its citations, or why it has none. Pure.

Whatever stands in a document or an answer is text here: no image is fetched, no HTML and no link made of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from viiwork.jobs import BatchStatus
from viiwork.tabling.flat import VALUE, Cell, fields_of, quote_line, value_of
from viiwork.work import Usage

SPECIAL = re.compile(r"([\\`*_\[\]<>|~&@])")
LINE_START = re.compile(r"^([ \t]*)(#{1,6}(?=\s|$)|[-=]+(?=[ \t]*$))", re.MULTILINE)
"""What makes a line, or the one above it, a heading."""
LINK = re.compile(r"(?<=[a-z])(?=://)|(?<=\bwww)(?=\.)", re.IGNORECASE)
"""Where readers make a link of bare text."""
EMPTY = ("[]", "{}")
"""Nothing that Markdown makes something of."""
CONTROLS = dict.fromkeys((*(code for code in range(32) if code not in (9, 10)), *range(127, 160)))


def heading(status: BatchStatus) -> str:
    """The report's beginning: which analysis it is of, and what all of it came to."""
    counts = status.counts
    facts = [
        ("Task", status.task),
        ("Model", status.model),
        ("State", status.state.value),
        ("Submitted", day(status.created_ms)),
        ("Ended", day(status.finished_ms)),
        (
            "Documents",
            f"{counts.total}: {counts.succeeded} with an answer, {counts.failed} failed, {counts.cancelled} cancelled",
        ),
        ("Tokens", tokens(status.usage, calls=status.calls) if status.usage else ""),
        ("Energy of the cards", _energy(status)),
    ]
    return beginning(f"Analysis {status.id}", facts, finished=status.finished)


def tokens(usage: Usage, *, calls: int) -> str:
    """What engines took: all calls, so that it is no surprise beside the sum of the answers."""
    many = "1 call" if calls == 1 else f"{calls:,} calls (failed and repeated ones too)"
    return f"{usage.prompt_tokens:,} read, {usage.output_tokens:,} written in {many}"


def beginning(title: str, facts: Iterable[tuple[str, str]], *, finished: bool) -> str:
    """A report's title and what is known of the whole; facts that are empty are left out."""
    lines = [f"- {name}: {escaped(value)}" for name, value in facts if value]
    partial = [] if finished else ["", "It is not finished: this is what has ended so far."]
    return "\n".join([f"# {escaped(title)}", "", *lines, *partial, "", ""])


def section(row: Mapping[str, Any]) -> str:
    """A document's part of the report."""
    name = row.get("document") or row.get("custom_id") or f"Document {row.get('index', 0) + 1}"
    return "\n".join([f"## {escaped(_one_line(name))}", "", *_body(row), "", ""])


def escaped(text: str) -> str:
    """The text, so that Markdown shows it as it is; line breaks stay."""
    safe = LINK.sub(r"\\", SPECIAL.sub(r"\\\1", text.translate(CONTROLS)))
    return LINE_START.sub(r"\1\\\2", safe)


def _body(row: Mapping[str, Any]) -> Iterator[str]:
    answer = row.get("answer")
    if answer is None:
        error = row.get("error") or {}
        reason = " ".join(filter(None, (error.get("message"), error.get("hint")))) or str(row.get("state", ""))
        yield f"No answer ({escaped(str(error.get('code') or row.get('state', '')))}): {escaped(_one_line(reason))}"
        return
    labels = answer.get("labels") or ([answer["label"]] if answer.get("label") else [])
    reasons = answer.get("rationales") or {}
    for label in labels:
        why = f": {escaped(_one_line(reasons[label]))}" if reasons.get(label) else ""
        yield from (f"**{escaped(_one_line(label))}**{why}", "")
    replies = answer.get("answers") or ()
    for reply in replies:
        yield from (f"### {escaped(_one_line(reply.get('question', '')))}", "", *_cited(row, reply), "")
    if not replies:
        yield from _cited(row, answer)
    for note in (*(answer.get("notes") or ()), answer.get("notice") or ""):
        if note:
            yield from ("", f"*{escaped(_one_line(note))}*")


def _cited(row: Mapping[str, Any], answer: Mapping[str, Any]) -> Iterator[str]:
    yield from _said(row, answer)
    quotes = answer.get("evidence") or ()
    if quotes:
        yield from ("", "Citations:", "")
        yield from (f"- {escaped(quote_line(quote))}" for quote in quotes)


def _said(row: Mapping[str, Any], answer: Mapping[str, Any]) -> Iterator[str]:
    value = value_of(row)
    if value is None:
        yield from (f"> {line}".rstrip() for line in escaped(str(answer.get("text") or "")).split("\n"))
        return
    yield from ("| Field | Value |", "| --- | --- |")
    for name, cell in fields_of(value, VALUE):
        yield f"| {escaped(name.removeprefix(f'{VALUE}.'))} | {_shown(cell)} |"


def _shown(cell: Cell) -> str:
    """As CSV has it: `true`, and an empty list as what it is."""
    if cell is None or isinstance(cell, bool):
        return "" if cell is None else str(cell).lower()
    return str(cell) if cell in EMPTY else escaped(_one_line(str(cell)))


def _one_line(text: str) -> str:
    return " ".join(str(text).split())


def day(at_ms: int | None) -> str:
    """A time of Redis' clock, to the minute; nothing where there is none."""
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M UTC") if at_ms else ""


def _energy(status: BatchStatus) -> str:
    if status.energy_j is None:
        return ""
    bound = "at least " if status.energy_unknown_jobs else ""
    made_up = ", simulated" if status.energy_simulated else ""
    return f"{bound}{status.energy_j / 3600:,.1f} Wh{made_up}"
