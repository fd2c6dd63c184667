"""Whether prompts fit their model, and what they weigh: counted before they are taken in, where it can be done."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from viiwork.abilities import UNABLE, advice, beyond, field_of, missing, told
from viiwork.documents.prompts import UNCOUNTED, Count, PromptCounter, Rendered, Work, load_prompts
from viiwork.documents.room import check_room, narrowest
from viiwork.documents.template import TemplateRefusal
from viiwork.errors import UsageError
from viiwork.jobs import Job
from viiwork.roster import FleetStatus, WorkerCard
from viiwork.work import AnalysisTask, ChatInput, EmbeddingInput, EngineWork, TaskOptions

log = logging.getLogger("viiwork.api")

RENDER_S = 10.0
"""A template may take so long for a slice of a file. A thread cannot be ended, so it is not asked again."""
AT_ONCE = 4
"""Counts under way at the same time; others wait, so that a slow template leaves threads for everything else."""
TOO_LONG = "context_length"


@dataclass(frozen=True, slots=True)
class Misfit:
    """Why a prompt is not taken: the field and the reason, which end up in a sentence with the line they are in."""

    field: str
    reason: str
    hint: str
    code: str

    def error(self) -> UsageError:
        """The refusal of a single job."""
        return UsageError(f"{self.field}: {self.reason}.", hint=self.hint, code=self.code, param=self.field)


@dataclass(frozen=True, slots=True)
class Load:
    """Tokens of a prompt that can be taken, and those that its answer may have."""

    prompt_tokens: int
    output_tokens: int = 0


Weight = Load | Misfit | None
"""What a prompt weighs; why it cannot be taken; or None where only the engine can count."""


class Scales:
    """Counts prompts by the tokenizers of the models that are served, beside the loop."""

    def __init__(self, *, render_s: float = RENDER_S) -> None:
        self._render_s = render_s
        self._room = asyncio.Semaphore(AT_ONCE)
        self._given_up: set[str] = set()

    async def weigh(self, works: Sequence[Work], model: str, fleet: FleetStatus) -> list[Weight]:
        """What each prompt weighs on the worker of `model` that takes least; also a Misfit for what none can do."""
        weights = await self._weigh(works, model, fleet)
        return [unable or weight for unable, weight in zip(misfits(works, model, fleet), weights, strict=True)]

    async def _weigh(self, works: Sequence[Work], model: str, fleet: FleetStatus) -> list[Weight]:
        card = narrowest((worker.card for worker in fleet.workers), model)
        if card is None or card.tokenizer in UNCOUNTED or card.tokenizer in self._given_up:
            return [None] * len(works)
        async with self._room:
            prompts = await asyncio.to_thread(load_prompts, card.tokenizer)
            rendered = await self._rendered(prompts, works, card.tokenizer, model) if prompts else None
            if prompts is None or rendered is None:
                return [None] * len(works)
            counts = await asyncio.to_thread(counted, prompts, rendered)
        pairs = zip(works, counts, strict=True)
        return [weight_of(work, count, model=model, context_tokens=card.context_tokens) for work, count in pairs]

    async def check_room(self, card: WorkerCard, task: AnalysisTask, options: TaskOptions) -> None:
        """Raises UsageError when a task's options leave no room for a document; by a rough count where that must do."""
        rough = card.model_copy(update={"tokenizer": ""})
        try:
            async with self._room, asyncio.timeout(self._render_s):
                known = card.tokenizer not in self._given_up
                await asyncio.to_thread(check_room, card if known else rough, task, options)
        except TimeoutError:
            self._give_up(card.tokenizer, card.model)
            check_room(rough, task, options)

    async def _rendered(
        self, prompts: PromptCounter, works: Sequence[Work], tokenizer: str, model: str
    ) -> list[Rendered | TemplateRefusal | None] | None:
        try:
            async with asyncio.timeout(self._render_s):
                return await asyncio.to_thread(prompts.render, works)
        except TimeoutError:
            self._give_up(tokenizer, model)
            return None

    def _give_up(self, tokenizer: str, model: str) -> None:
        self._given_up.add(tokenizer)
        log.warning("the chat template of %s took over %.0f s: prompts go to it uncounted", model, self._render_s)


def misfits(works: Sequence[EngineWork | AnalysisTask], model: str, fleet: FleetStatus) -> list[Misfit | None]:
    """For each why no worker of the model can do it, where all of them say so. Pure."""
    cards = [worker.card for worker in fleet.workers if worker.card.model == model]
    if not (cannot := beyond(cards)):
        return [None] * len(works)
    return [misfit(work, cannot, model=model, engine=cards[0].engine) for work in works]


def misfit(work: EngineWork | AnalysisTask, cannot: Collection[str], *, model: str, engine: str) -> Misfit | None:
    """Why what is known not to be done is not taken."""
    if (ability := missing(work, cannot)) is None:
        return None
    reason = told(ability, model=model, engine=engine)
    return Misfit(field_of(ability, work), reason, advice(ability, cannot), UNABLE)


def with_weight(job: Job, weight: Weight) -> Job | Misfit:
    """The job that its weight makes of it; one that nobody could count keeps its rough price."""
    if not isinstance(weight, Load):
        return weight or job
    counted: dict[str, Any] = {"prompt_tokens": weight.prompt_tokens, "max_output_tokens": weight.output_tokens}
    if weight.output_tokens < job.max_output_tokens:
        counted["input"] = job.input.model_copy(update={"max_output_tokens": weight.output_tokens})
    return job.model_copy(update=counted)


def counted(
    prompts: PromptCounter, rendered: Sequence[Rendered | TemplateRefusal | None]
) -> list[Count | TemplateRefusal | None]:
    """The same with tokens instead of texts."""
    counts = iter(prompts.count([one for one in rendered if isinstance(one, Rendered)]))
    return [next(counts) if isinstance(one, Rendered) else one for one in rendered]


def weight_of(work: Work, count: Count | TemplateRefusal | None, *, model: str, context_tokens: int) -> Weight:
    """What a count comes to. Pure."""
    if count is None:
        return None
    if isinstance(count, TemplateRefusal):
        return Misfit("messages", count.message.rstrip("."), "", count.code)
    if isinstance(work, EmbeddingInput):
        return too_long_text(count, model, context_tokens) or Load(sum(count.tokens))
    (tokens,) = count.tokens
    if tokens + work.max_output_tokens <= context_tokens:
        return Load(tokens, work.max_output_tokens)
    if tokens < context_tokens and "max_output_tokens" not in work.model_fields_set:
        return Load(tokens, context_tokens - tokens)  # nobody asked for so many: engines shorten the answer too
    field = "messages" if isinstance(work, ChatInput) else "prompt"
    answer = f"the prompt has {tokens:,} tokens and the answer may take {work.max_output_tokens:,}"
    hint = "Shorten it, or ask for a shorter answer (max_output_tokens, --max-tokens)."
    return Misfit(field, f"{answer}; {model} takes {context_tokens:,}", hint, TOO_LONG)


def too_long_text(count: Count, model: str, context_tokens: int) -> Misfit | None:
    """The first text for vectors that is longer than the model takes, if there is one."""
    for place, tokens in enumerate(count.tokens):
        if tokens > context_tokens:
            reason = f"the text has {tokens:,} tokens; {model} takes {context_tokens:,}"
            return Misfit(f"input.{place}", reason, "Cut it into parts.", TOO_LONG)
    return None
