"""Any work as something that the OpenAI API knows, and its reply as an answer."""

from __future__ import annotations

from viiwork.documents.extraction import asked_schema, repair, taken
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
    shape = Shape(json_schema=asked_schema(work.options)) if _extracts(work) else None
    return ChatInput(messages=messages_for(work), max_output_tokens=work.options.max_output_tokens, shape=shape)


def repaired(work: EngineWork, missed: JobRefused) -> ChatInput | None:
    """The chat that asks once more for an extraction whose answer was not to be used; None for anything else.

    It begins as the first did, for the engine's prefix cache, and has nothing of the first answer in it.
    """
    asked = rendered(work)
    if missed.code != MISSHAPEN or not isinstance(asked, ChatInput) or not _extracts(work):
        return None
    *before, last = asked.messages
    again = last.model_copy(update={"content": last.content + repair(missed.message)})
    return asked.model_copy(update={"messages": (*before, again)})


def _extracts(work: EngineWork) -> bool:
    return isinstance(work, StepInput) and work.task is AnalysisTask.EXTRACT


async def answer_of(work: EngineWork, reply: Reply, facts: EngineFacts) -> Answer:
    """What the engine said, checked against the shape that was asked for. Raises JobRefused."""
    said = parse_answer(work.task, work.options, reply.text) if isinstance(work, StepInput) else Answer(text=reply.text)
    shape = work.shape if isinstance(work, ChatInput | CompletionInput) else None
    if isinstance(work, StepInput) and _extracts(work):
        shape = Shape(json_schema=asked_schema(work.options))
    called = isinstance(work, ChatInput) and bool(work.tools and reply.tool_calls)  # one who may call need not answer
    value = None
    if shape is not None and not called:
        from viiwork_workers.engines.server.shapes import held  # noqa: PLC0415 - 5 MB of validators, once they are asked for

        value = await held(shape, reply.text, finish_reason=reply.finish_reason)
    if isinstance(work, StepInput) and _extracts(work):
        said = taken(work.options, value or {})
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
