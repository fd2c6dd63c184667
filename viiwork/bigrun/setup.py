"""What an answer depends on besides its document: where that is the same, one answer does for another. Pure.

`changed` names what differs. Whatever cannot be known of a fleet is left empty on both sides, and so does not differ.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from pydantic import Field

from viiwork.roster import WorkerCard
from viiwork.wire import Wire
from viiwork.work import AnalysisTask, TaskOptions

GREEDY: Mapping[str, Any] = {"temperature": 0.0}
"""How the calls of analyses choose tokens."""
APART = ("question", "questions", "prompt", "json_schema")
"""Options that are named by themselves."""
TOLD_BY_WORKERS = ("revision", "quantization")
SHOWN = 60
"""Longer values are not shown beside each other."""
NAMES = {
    "task": "the task",
    "prompt": "the prompt",
    "question": "the question or questions",
    "words": "what VIIWork tells models for this task",
    "json_schema": "the schema",
    "options": "",  # each by its own name
    "model": "the model",
    "revision": "the model's revision",
    "quantization": "the quantization",
    "sampling": "the sampling",
    "reader": "how documents are read",
    "chunker": "how documents are cut",
}
OPTIONS = {
    "multi": "whether several labels may hold",
    "rationale": "whether labels come with why",
    "quotes": "whether there are quotes",
    "max_output_tokens": "max-tokens",
}
"""Those of which the name alone would not be understood."""


class Setup(Wire):
    """One analysis' parts that all of its answers depend on. Texts of one's own are kept as digests."""

    task: AnalysisTask
    prompt: str = ""
    question: str = ""
    words: str = ""
    """A digest of what comes with VIIWork: the system's turn and the task's."""
    json_schema: str = ""
    options: dict[str, Any] = Field(default_factory=dict)
    """The others, as they are."""
    model: str
    revision: str = ""
    quantization: str = ""
    sampling: dict[str, Any] = Field(default_factory=dict)
    reader: str = ""
    chunker: str = ""


def setup_of(
    task: AnalysisTask, options: TaskOptions, card: WorkerCard, *, words: str, reader: str, chunker: str
) -> Setup:
    """The setup of an analysis on the workers that this card stands for.

    Parts are cut by the model's tokenizer to its context: both belong to how documents are cut.
    """
    return Setup(
        task=task,
        prompt=digest(options.prompt),
        question=digest(options.question or options.questions),
        words=words,
        json_schema=digest(options.json_schema),
        options=options.model_dump(mode="json", exclude=set(APART), exclude_defaults=True),
        model=card.model,
        revision=card.revision,
        quantization=card.quantization,
        sampling=dict(GREEDY),
        reader=reader,
        chunker=f"{chunker}, to {card.context_tokens:,} tokens of {card.tokenizer or 'an unknown tokenizer'}",
    )


def digest(value: Any) -> str:
    """The same for the same text or JSON value, whatever the order of its keys; empty for nothing."""
    if not value:
        return ""
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def changed(before: Setup, now: Setup) -> tuple[str, ...]:
    """A sentence part for each part that differs, in the order of the record.

    Of a model whose revision or weights nobody told before, nobody can say that it is another.
    """
    unknown = {name: "" for name in TOLD_BY_WORKERS if not (getattr(before, name) and getattr(now, name))}
    then, today = (one.model_dump(mode="json") | unknown for one in (before, now))
    differing = [name for name in NAMES if then[name] != today[name]]
    return tuple(said for name in differing for said in _differences(name, then[name], today[name]))


def _differences(name: str, then: Any, now: Any) -> list[str]:
    """One, but of options one for each that differs, as it is called on the command line."""
    if name != "options":
        return [_difference(NAMES[name], then, now)]
    usual = TaskOptions().model_dump(mode="json")
    pairs = {one: (then.get(one, usual.get(one)), now.get(one, usual.get(one))) for one in (*then, *now)}
    return [_option(OPTIONS.get(one, f"the {one}"), *pair) for one, pair in pairs.items() if pair[0] != pair[1]]


def _option(name: str, then: Any, now: Any) -> str:
    """`the style (none, now bullets)`; of what looks the same, or is long, the name alone."""
    said = [_word(one) for one in (then, now)]
    short = said[0] != said[1] and all(len(one) <= SHOWN for one in said)
    return f"{name} ({said[0]}, now {said[1]})" if short else name


def _word(value: Any) -> str:
    """An option's value as a person says it; labels by their names."""
    if value in (None, "", []):
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(str(one.get("name", "")) if isinstance(one, dict) else str(one) for one in value)
    return str(value)


def _difference(name: str, then: Any, now: Any) -> str:
    said = [json.dumps(one, ensure_ascii=False) if isinstance(one, dict) else str(one) for one in (then, now)]
    short = all(0 < len(one) <= SHOWN for one in said) and not any(_is_digest(one) for one in said)
    return f"{name} ({said[0]}, now {said[1]})" if short else name


def _is_digest(text: str) -> bool:
    return len(text) == hashlib.sha256().digest_size * 2
