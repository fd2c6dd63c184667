"""The jobs that a request of the OpenAI API becomes. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from viiwork.api.openai.bodies import (
    COMPLETION_TOKENS,
    USUAL_OUTPUT_TOKENS,
    AnyBody,
    CompletionBody,
    EmbeddingBody,
)
from viiwork.api.openai.writing import Work, WritingBody
from viiwork.api.work import characters
from viiwork.documents.room import narrowest
from viiwork.jobs import Job, Lane
from viiwork.roster import FleetStatus
from viiwork.work import ChatInput, EmbeddingInput

CHARACTERS_A_TOKEN = 4
"""A rough price of a prompt for the scheduler, where nobody can count exactly."""
PART_OF_CONTEXT = 4
"""An answer whose length nobody named may take one in so many of the model's tokens."""


def jobs_of(
    body: AnyBody,
    model: str,
    ids: Sequence[str],
    *,
    tenant: str,
    lane: Lane,
    timeout_s: float,
    context_tokens: int = 0,
    batch: str = "",
    custom_id: str = "",
) -> list[Job]:
    """One job for each of `body.works()`, under these ids; `context_tokens` is 0 where the model does not tell.

    They are to be weighed (`Intake.weighed`) before they are submitted: what nobody asked for may be shortened there.
    """
    metadata = (body.metadata or {}) if isinstance(body, WritingBody) else {}
    usual = min(USUAL_OUTPUT_TOKENS, context_tokens // PART_OF_CONTEXT) if context_tokens else USUAL_OUTPUT_TOKENS
    works: Sequence[Work] = body.works()
    jobs = []
    for job_id, asked in zip(ids, works, strict=True):
        work = bounded(asked, max(COMPLETION_TOKENS, usual))
        jobs.append(
            Job(
                id=job_id,
                tenant=tenant,
                lane=lane,
                model=model,
                input=work,
                batch=batch,
                custom_id=custom_id,
                metadata=metadata,
                prompt_tokens=-(-characters(work) // CHARACTERS_A_TOKEN),
                max_output_tokens=0 if isinstance(work, EmbeddingInput) else work.max_output_tokens,
                timeout_s=body.timeout_s or timeout_s,
                deadline_s=body.deadline_s,
            )
        )
    return jobs


def bounded(work: Work, tokens: int) -> Work:
    """The work; a chat of which nobody said how long its answer may be, with at most so many tokens.

    They do not count as asked for, so whoever weighs it may still make them fewer.
    """
    if not isinstance(work, ChatInput) or "max_output_tokens" in work.model_fields_set:
        return work
    said = {**dict(work), "max_output_tokens": tokens}
    return ChatInput.model_construct(_fields_set=set(work.model_fields_set), **said)


def context_of(fleet: FleetStatus, model: str) -> int:
    """The shortest context among the workers of a model, in tokens; 0 where none tells."""
    card = narrowest((worker.card for worker in fleet.workers), model)
    return card.context_tokens if card else 0


def parts_of(body: AnyBody) -> int:
    """How many jobs it becomes."""
    if isinstance(body, EmbeddingBody):
        return 1
    return body.choices * (len(body.prompt) if isinstance(body, CompletionBody) else 1)
