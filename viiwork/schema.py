"""Since which schema workers understand a job. Pure.

While a fleet is upgraded, workers of the version before serve all that they know. They would fail a kind that they have
never heard of, and drop a field without a word: an answer that should have had a shape comes without. So a job that
needs a newer schema says so, and they leave it alone.
"""

from __future__ import annotations

from pydantic import BaseModel

from viiwork.work import (
    AnalysisTask,
    ChatInput,
    FileWork,
    JobInput,
    MergeInput,
    Message,
    ReadInput,
    StepInput,
    TaskOptions,
)

FIRST, ENGINES, TASKS, INSIDE, SEVERAL, SHARED, FILES = 1, 2, 3, 4, 5, 6, 7
"""`ENGINES`: completions, vectors, shapes, sampling, tools, and a task in one's own words. `TASKS`: extractions, and
what can be asked of the other tasks besides their labels, question or prompt. `INSIDE`: documents inside others.
`SEVERAL`: questions, or labels, also with reasons, and texts with a model's own marks.
`SHARED`: inputs of which a part lies in a file that several jobs name. `FILES`: the steps of a batch that came as a
file."""
OF_FIRST: dict[type[BaseModel], frozenset[str]] = {
    # what streams is the same job: an older worker says its text at the end
    ChatInput: frozenset({"kind", "messages", "max_output_tokens", "temperature", "stream"}),
    Message: frozenset({"role", "content"}),
    StepInput: frozenset(StepInput.model_fields) - {"one_turn", "document_first", "marks", "kept"},
    TaskOptions: frozenset({"labels", "question", "prompt", "max_output_tokens"}),
}
"""The fields that the first schema has; any other, set to something, is of a newer one."""


def schema_of(work: JobInput) -> int:
    """The oldest schema that understands this work."""
    if isinstance(work, FileWork):
        return FILES
    if isinstance(work, StepInput | ReadInput | MergeInput):
        return _of_analysis(work)
    if not isinstance(work, ChatInput):
        return ENGINES
    new = _has_more(work, ChatInput) or any(_has_more(turn, Message) or turn.role == "tool" for turn in work.messages)
    return ENGINES if new else FIRST


def _of_analysis(work: StepInput | ReadInput | MergeInput) -> int:
    if work.kept:
        return SHARED
    if _asks_several(work) or (isinstance(work, StepInput) and work.marks):
        return SEVERAL
    if isinstance(work, ReadInput) and work.way:
        return INSIDE
    if _is_later(work.task, work.options):
        return TASKS
    new = work.task is AnalysisTask.PROMPT or (isinstance(work, StepInput) and _has_more(work, StepInput))
    return ENGINES if new else FIRST


def _is_later(task: AnalysisTask, options: TaskOptions) -> bool:
    return task is AnalysisTask.EXTRACT or _has_more(options, TaskOptions)


def _asks_several(work: StepInput | ReadInput | MergeInput) -> bool:
    first = isinstance(work, StepInput) and work.document_first
    return first or bool(work.options.questions or work.options.multi or work.options.rationale)


def _has_more(record: BaseModel, kind: type[BaseModel]) -> bool:
    fields = kind.model_fields
    return any(getattr(record, name) != fields[name].default for name in fields.keys() - OF_FIRST[kind])
