"""Kinds of work, and those that an engine is known not to do: one truth for its worker and for who takes work in. Pure.

An engine names what it cannot do, not what it can: of a program of others that is mostly not known.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from enum import StrEnum

from viiwork.roster import WorkerCard
from viiwork.work import AnalysisTask, ChatInput, CompletionInput, EngineWork, Shape, StepInput

UNABLE = "unsupported_task"
"""The code of a refusal for want of an ability."""
LANGUAGE_MODEL = "serve a language model: docs/engines.md"


class Ability(StrEnum):
    """One kind of work: what a job is, something that it asks for besides, or the task of an analysis."""

    CHAT = "chat"
    COMPLETION = "completion"
    EMBEDDING = "embedding"
    TOOLS = "tools"
    SHAPE = "shape"
    SUMMARIZE = "summarize"
    CLASSIFY = "classify"
    ASK = "ask"
    PROMPT = "prompt"
    EXTRACT = "extract"
    WISHES = "wishes"
    MULTI = "multi"
    RATIONALE = "rationale"


WORDS = {
    Ability.CHAT: "answer a chat",
    Ability.COMPLETION: "go on with a text",
    Ability.EMBEDDING: "turn texts into vectors",
    Ability.TOOLS: "call tools",
    Ability.SHAPE: "hold an answer to a shape",
    Ability.SUMMARIZE: "summarize",
    Ability.CLASSIFY: "classify",
    Ability.ASK: "answer a question about a document",
    Ability.PROMPT: "follow a prompt",
    Ability.EXTRACT: "fill a schema",
    Ability.WISHES: "write to a wished length, style or language",
    Ability.MULTI: "say which of several labels hold",
    Ability.RATIONALE: "say why a label holds",
}
FIELDS = {Ability.CHAT: "messages", Ability.COMPLETION: "prompt", Ability.EMBEDDING: "input", Ability.TOOLS: "tools"}


def wanted(work: EngineWork | AnalysisTask) -> tuple[Ability, ...]:
    """What an engine must be able to do for it."""
    if isinstance(work, AnalysisTask):
        return (Ability(work.value),)
    if isinstance(work, StepInput):
        return (Ability(work.task.value), *_besides(work))
    beside = []
    if isinstance(work, ChatInput) and work.tools:
        beside.append(Ability.TOOLS)
    if isinstance(work, ChatInput | CompletionInput) and work.shape:
        beside.append(Ability.SHAPE)
    return (Ability(work.kind), *beside)


def _besides(step: StepInput) -> list[Ability]:
    asked = ((Ability.WISHES, wishes(step)), (Ability.MULTI, step.options.multi))
    return [ability for ability, given in (*asked, (Ability.RATIONALE, step.options.rationale)) if given]


def wishes(step: StepInput) -> list[str]:
    """What its text is wished to be, by the names of the options."""
    return [name for name in ("length", "style", "language") if getattr(step.options, name)]


def missing(work: EngineWork | AnalysisTask, cannot: Collection[str]) -> Ability | None:
    """The first of what it wants that is among what cannot be done."""
    return next((ability for ability in wanted(work) if ability in cannot), None)


def beyond(cards: Sequence[WorkerCard]) -> frozenset[str]:
    """What none of these workers can do. Nothing where there are none, or one of them does not say."""
    each = [frozenset(card.cannot) for card in cards]
    return frozenset.intersection(*each) if each else frozenset()


def told(ability: Ability, *, model: str, engine: str) -> str:
    """That it cannot be done, without a full stop."""
    return f"{model} ({engine}) cannot {WORDS[ability]}"


def field_of(ability: Ability, work: EngineWork | AnalysisTask) -> str:
    """The field of a request that asked for it."""
    if ability is Ability.SHAPE and isinstance(work, ChatInput | CompletionInput) and work.shape:
        return shape_field(work.shape)
    if ability is Ability.WISHES and isinstance(work, StepInput):
        return wishes(work)[0]
    if ability in (Ability.MULTI, Ability.RATIONALE):
        return ability.value
    return FIELDS.get(ability, "task")


def shape_field(shape: Shape) -> str:
    """The field of a request that a shape came in."""
    return "regex" if shape.regex is not None else "choice" if shape.choice else "response_format"


def advice(ability: Ability, cannot: Collection[str]) -> str:
    """What to do instead, in a sentence."""
    tasks = [task.value for task in AnalysisTask if task.value not in cannot]
    if ability is Ability.MULTI:
        instead = "Leave it out, and take each label's share from the `scores` of a row"
    elif ability in (Ability.TOOLS, Ability.SHAPE, Ability.WISHES, Ability.RATIONALE):
        instead = "Leave it out"
    elif ability is Ability.COMPLETION and Ability.CHAT not in cannot:
        instead = "Send messages instead of prompt"
    elif ability in (Ability.CHAT, Ability.COMPLETION, Ability.PROMPT, Ability.EXTRACT) and tasks:
        instead = f"It answers about documents (`viiwork analyze`: {', '.join(tasks)}); for anything else"
        return f"{instead} {LANGUAGE_MODEL}."
    else:
        return f"{LANGUAGE_MODEL[0].upper()}{LANGUAGE_MODEL[1:]}."
    return f"{instead}, or {LANGUAGE_MODEL}."
