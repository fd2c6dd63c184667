"""Whether an analysis of the samples came out as their list says it should. Pure: rows in, complaints out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

HELD: Mapping[str, Any] = {"label": None, "facts": {}, "bad": None}
"""What is attached must have an answer; nothing is said of which."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """One line about an analysis, and what is wrong with it."""

    line: str
    complaints: tuple[str, ...]


def judge(
    task: str, rows: Sequence[Mapping[str, Any]], files: Mapping[str, Mapping[str, Any]], *, question: str
) -> Verdict:
    """Every good file must have an answer, every broken one its own reason; hits are counted, not demanded."""
    files, by_name = every_row(files), {row["document"]: row for row in rows}
    complaints = [f"{name}: {text}" for name, entry in files.items() if (text := _complaint(by_name.get(name), entry))]
    complaints += [f"{name}: is not on the list" for name in by_name if name not in files]
    good = sum(entry["bad"] is None for entry in files.values())
    line = f"{task}: {good} documents to answer, {len(files) - good} to refuse with a reason"
    return Verdict(line + _hits(task, by_name, files, question=question), tuple(complaints))


def every_row(files: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The list with what is attached to its e-mails, which has rows of its own."""
    inside = {f"{name}/{held}": HELD for name, entry in files.items() for held in entry.get("holds", ())}
    return {**files, **inside}


def _complaint(row: Mapping[str, Any] | None, entry: Mapping[str, Any]) -> str:
    if row is None:
        return "has no row"
    answer, error = row.get("answer") or {}, row.get("error") or {}
    if entry["bad"] is None:
        return "" if answer.get("text", "").strip() else f"has no answer ({error.get('code', 'no reason')})"
    return "" if error.get("code") == entry["bad"] else f"should be {entry['bad']}, is {error.get('code', 'answered')}"


def _hits(
    task: str, rows: Mapping[str, Mapping[str, Any]], files: Mapping[str, Mapping[str, Any]], *, question: str
) -> str:
    answers = {name: row.get("answer") or {} for name, row in rows.items() if name in files}
    if task == "classify":
        known = {name: entry["label"] for name, entry in files.items() if entry["label"]}
        hits = sum(answers.get(name, {}).get("label") == label for name, label in known.items())
        return f"; {hits} of {len(known)} labels are the expected ones"
    if task == "ask":
        facts = {name: entry["facts"][question] for name, entry in files.items() if question in entry["facts"]}
        texts = {name: answers.get(name, {}).get("text", "") for name in facts}
        hits = sum(any(fact in texts[name] for fact in wanted) for name, wanted in facts.items())
        return f"; {hits} of {len(facts)} answers hold the expected fact"
    return ""
