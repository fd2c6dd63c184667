"""What every engine asks of a job before it starts."""

from __future__ import annotations

from viiwork.abilities import UNABLE, advice, field_of, missing, told, wanted
from viiwork.errors import JobRefused
from viiwork.work import AnalysisTask, ChatInput, CompletionInput, EmbeddingInput, EngineWork, StepInput
from viiwork_workers.engines.base import EngineFacts


def texts_of(work: EngineWork) -> list[str]:
    """Every text of the job that counts as prompt."""
    if isinstance(work, ChatInput):
        return [turn.content for turn in work.messages]
    if isinstance(work, CompletionInput):
        return [work.prompt]
    if isinstance(work, EmbeddingInput):
        return list(work.texts)
    labels = [f"{label.name} {label.description}" for label in work.options.labels]
    return [work.title, work.options.question, work.options.prompt, *labels, work.text]


def plain(work: EngineWork, facts: EngineFacts) -> ChatInput | StepInput:
    """The work, for an engine that only writes text. Raises JobRefused for what its facts say that it cannot do."""
    if isinstance(work, ChatInput | StepInput) and missing(work, facts.cannot) is None:
        return work
    raise unable(work, facts)


def step_of(work: EngineWork, facts: EngineFacts) -> StepInput:
    """The work, for an engine that takes nothing but steps of analyses. Raises JobRefused, as `plain` does."""
    if isinstance(work, StepInput) and missing(work, facts.cannot) is None:
        return work
    raise unable(work, facts)


def unable(work: EngineWork, facts: EngineFacts) -> JobRefused:
    """What is said of work that an engine cannot do; who takes work in mostly says so before."""
    ability = missing(work, facts.cannot) or wanted(work)[0]
    message = f"{told(ability, model=facts.model, engine=facts.name)}."
    hint, field = advice(ability, facts.cannot), field_of(ability, work)
    return JobRefused(message, hint=hint, code=UNABLE, param=field)


def refuse_incomplete(work: EngineWork) -> None:
    """Raises JobRefused for a prompt that is empty or no Unicode, or a task without its labels or its question.

    A passage must have words; a prompt may be anything that somebody wants to see gone on with, such as `{`.
    """
    try:
        "".join(texts_of(work)).encode()
    except UnicodeEncodeError as error:
        # lone surrogates, which a JSON escape can smuggle in; no tokenizer takes them
        raise JobRefused("the text is not valid Unicode.", hint="Decode it again.", code="invalid_text") from error
    if not isinstance(work, StepInput):
        if not "".join(texts_of(work)).strip():
            raise JobRefused("the prompt is empty.", hint="Say something.", code="empty")
        return
    if not any(character.isalnum() for character in work.text):
        raise JobRefused("the passage has no words.", hint="Check that the document has text.", code="empty")
    _refuse_without_options(work)


def _refuse_without_options(step: StepInput) -> None:
    if step.task is AnalysisTask.CLASSIFY and not step.options.labels:
        raise JobRefused("classify needs labels.", hint="Name at least two.", code="invalid_request", param="labels")
    if step.task is AnalysisTask.ASK and not step.options.question.strip():
        raise JobRefused(
            "ask needs a question.", hint="Say what to look for.", code="invalid_request", param="question"
        )
    if step.task is AnalysisTask.EXTRACT and step.options.json_schema is None:
        raise JobRefused("extract needs a schema.", hint="Name the fields.", code="invalid_request", param="schema")
    if step.task is AnalysisTask.PROMPT and not step.options.prompt.strip():
        raise JobRefused("prompt needs one.", hint="Say what to do.", code="invalid_request", param="prompt")
