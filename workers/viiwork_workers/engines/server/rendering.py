"""Any work as something that the OpenAI API knows, and its reply as an answer."""

from __future__ import annotations

from typing import Any

from viiwork.documents.extraction import asked_schema, repair, taken
from viiwork.documents.labelling import asked_labels, is_formed, taken_labels
from viiwork.documents.tasks import messages_for, parse_answer
from viiwork.errors import JobRefused
from viiwork.work import (
    AnalysisTask,
    Answer,
    ChatInput,
    CompletionInput,
    EmbeddingInput,
    EngineWork,
    Shape,
    StepInput,
)
from viiwork_workers.engines.base import EngineFacts
from viiwork_workers.engines.server.replies import Reply

Work = ChatInput | CompletionInput | EmbeddingInput
MISSHAPEN = "invalid_output"
"""The code of an answer that has not the shape that was asked for."""


def rendered(work: EngineWork) -> Work:
    """A step as the chat that asks for it; the others as they are."""
    if not isinstance(work, StepInput):
        return work
    most = work.options.max_output_tokens
    return ChatInput(messages=messages_for(work), max_output_tokens=most, shape=_form(work))


def repaired(work: EngineWork, missed: JobRefused) -> ChatInput | None:
    """The chat that asks once more for a form whose answer was not to be used; None for anything else.

    It begins as the first did, for the engine's prefix cache, and has nothing of the first answer in it.
    """
    asked = rendered(work)
    if missed.code != MISSHAPEN or not isinstance(asked, ChatInput) or _form(work) is None:
        return None
    *before, last = asked.messages
    again = last.model_copy(update={"content": last.content + repair(missed.message)})
    return asked.model_copy(update={"messages": (*before, again)})


def _form(work: EngineWork) -> Shape | None:
    """The form that a step's answer is asked for in: the fields of an extraction, or labels with what proves them."""
    if not isinstance(work, StepInput):
        return None
    if work.task is AnalysisTask.EXTRACT:
        return Shape(json_schema=asked_schema(work.options))
    return Shape(json_schema=asked_labels(work.options)) if is_formed(work.task, work.options) else None


def _filled_in(step: StepInput, value: dict[str, Any]) -> Answer:
    return taken(step.options, value) if step.task is AnalysisTask.EXTRACT else taken_labels(step.options, value)


async def answer_of(work: EngineWork, reply: Reply, facts: EngineFacts) -> Answer:
    """What the engine said, checked against the shape that was asked for. Raises JobRefused."""
    said = parse_answer(work.task, work.options, reply.text) if isinstance(work, StepInput) else Answer(text=reply.text)
    shape = work.shape if isinstance(work, ChatInput | CompletionInput) else _form(work)
    called = isinstance(work, ChatInput) and bool(work.tools and reply.tool_calls)  # one who may call need not answer
    value = None
    if shape is not None and not called:
        from viiwork_workers.engines.server.shapes import held  # noqa: PLC0415 - 5 MB of validators, once they are asked for

        value = await held(shape, reply.text, finish_reason=reply.finish_reason)
    if isinstance(work, StepInput) and shape is not None:
        said = _filled_in(work, value or {})
        value = said.value
    told = {
        "engine": facts.name,
        "model": facts.model,
        "notice": facts.notice,
        "usage": reply.usage,
        "finish_reason": reply.finish_reason,
        "value": value,
        "tool_calls": reply.tool_calls,
        "logprobs": reply.logprobs,
        "embeddings": reply.embeddings,
    }
    return said.model_copy(update=told)
