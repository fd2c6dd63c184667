"""Any work as something that the OpenAI API knows, and its reply as an answer."""

from __future__ import annotations

from viiwork.documents.tasks import messages_for, parse_answer
from viiwork.work import Answer, ChatInput, CompletionInput, EmbeddingInput, EngineWork, StepInput
from viiwork_workers.engines.base import EngineFacts
from viiwork_workers.engines.server.replies import Reply


def rendered(work: EngineWork) -> ChatInput | CompletionInput | EmbeddingInput:
    """A step as the chat that asks for it; the others as they are."""
    if not isinstance(work, StepInput):
        return work
    return ChatInput(messages=messages_for(work), max_output_tokens=work.options.max_output_tokens)


async def answer_of(work: EngineWork, reply: Reply, facts: EngineFacts) -> Answer:
    """What the engine said, checked against the shape that was asked for. Raises JobRefused."""
    said = parse_answer(work.task, work.options, reply.text) if isinstance(work, StepInput) else Answer(text=reply.text)
    shape = work.shape if isinstance(work, ChatInput | CompletionInput) else None
    called = isinstance(work, ChatInput) and bool(work.tools and reply.tool_calls)  # one who may call need not answer
    value = None
    if shape is not None and not called:
        from viiwork_workers.engines.server.shapes import held  # noqa: PLC0415 - 5 MB of validators, once they are asked for

        value = await held(shape, reply.text, finish_reason=reply.finish_reason)
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
