"""What a model is asked to write when labels come with reasons, or several may hold, and what it has written. Pure.

Such an answer is JSON: the words of the document come first, then why, then the label, so that a model has looked the
words up and thought before it decides. A label alone is asked for as plain text: that takes far fewer tokens.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from viiwork.documents.extraction import QUOTE
from viiwork.documents.tasktexts import filled, task_text
from viiwork.work import AnalysisTask, Answer, Evidence, TaskOptions

RATIONALE = {"type": "string", "maxLength": 400}
NO_LABEL = "none of the labels"


def is_formed(task: AnalysisTask, options: TaskOptions) -> bool:
    """Whether labels are asked for as JSON."""
    return task is AnalysisTask.CLASSIFY and (options.multi or options.rationale)


def asked_labels(options: TaskOptions) -> dict[str, Any]:
    """The schema that an engine is held to for one passage of a document."""
    keys = {name: schema for name, schema in (("quote", QUOTE), ("rationale", RATIONALE)) if name in _keys(options)}
    one = _object(keys | {"label": {"type": "string", "enum": [label.name for label in options.labels]}})
    if not options.multi:
        return one
    return _object({"labels": {"type": "array", "items": one, "maxItems": len(options.labels)}})


def told_form(options: TaskOptions) -> Mapping[str, str]:
    """The same in words: for the holes of the task's text."""
    form, keys = task_text(AnalysisTask.CLASSIFY).form, _keys(options)
    one = "{" + ", ".join(f'"{name}": …' for name in keys) + "}"
    return {"one": one, "keys": " ".join(form[name] for name in keys)}


def told(options: TaskOptions, words: Mapping[str, str]) -> str:
    """What a model is told, with its words filled in."""
    form = task_text(AnalysisTask.CLASSIFY).form
    return filled(form["several" if options.multi else "single"], {**words, **told_form(options)})


def taken_labels(options: TaskOptions, said: Mapping[str, Any]) -> Answer:
    """The answer that an engine's JSON comes to."""
    entries = said["labels"] if options.multi else [said]
    evidence = tuple(
        Evidence(quote=one["quote"], field=one["label"] if options.multi else "")
        for one in entries
        if one.get("quote", "").strip()
    )
    rationales = {
        one["label"]: one["rationale"].strip() for one in reversed(entries) if one.get("rationale", "").strip()
    }
    if not options.multi:
        label = said["label"]
        return Answer(text=label, label=label, rationales=rationales, evidence=evidence)
    given = {one["label"] for one in entries}
    return labelled(options, [name for name in names(options) if name in given], rationales, evidence)


def labelled(
    options: TaskOptions, held: Sequence[str], rationales: Mapping[str, str], evidence: tuple[Evidence, ...]
) -> Answer:
    """The answer that so many labels are, in the order of the options."""
    return Answer(
        text=", ".join(held) or NO_LABEL,
        labels=tuple(held),
        scores={name: float(name in held) for name in names(options)},
        rationales={name: rationales[name] for name in held if name in rationales},
        evidence=evidence,
    )


def names(options: TaskOptions) -> list[str]:
    """Of all labels, in their order."""
    return [label.name for label in options.labels]


def _keys(options: TaskOptions) -> list[str]:
    return [*(["quote"] if options.quotes else []), *(["rationale"] if options.rationale else []), "label"]


def _object(properties: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": dict(properties),
        "required": list(properties),
        "additionalProperties": False,
    }
