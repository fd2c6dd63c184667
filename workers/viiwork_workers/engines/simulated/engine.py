"""A Radeon VII that is not there: jobs take the time and the memory they would take on the card; no model runs."""

from __future__ import annotations

import asyncio
import contextlib

from viiwork.abilities import Ability
from viiwork.documents.tokens import WORDLLAMA, TokenCounter, load_counter
from viiwork.errors import EngineFault, JobRefused, SettingsError
from viiwork.work import Answer, ChatInput, EngineWork, StepInput, Usage
from viiwork_workers.engines.base import PLAIN, EngineFacts, Manner, Signals, heard, own_version
from viiwork_workers.engines.intake import plain, refuse_incomplete, texts_of
from viiwork_workers.engines.simulated.card_model import MISTRAL_7B, CardModel
from viiwork_workers.engines.simulated.filler import Filler
from viiwork_workers.engines.simulated.schedule import Request, Schedule, Stretch

NAME = "simulated Radeon VII"
NOTICE = "Simulated: no model ran and nothing read the document; only the timing is a Radeon VII's."
CANNOT = frozenset({Ability.COMPLETION, Ability.EMBEDDING, Ability.TOOLS, Ability.SHAPE, Ability.EXTRACT})
TEMPLATE_TOKENS = 130
"""What the instructions add to the text of a step: 106 for summarize, 127 for classify, 158 for ask."""
TURN_TOKENS = 4
LATE_S = 1.0
"""A loop that wakes later than this was stopped, not busy: that time is not caught up."""


class SimulatedEngine:
    """Shares the card's steps among all requests in flight; it wakes for an arrival or an end, not for every token."""

    def __init__(self, *, model: str, slots: int, time_scale: float, card: CardModel = MISTRAL_7B) -> None:
        self.facts = simulated_facts(model=model, slots=slots, card=card)
        self._card = card
        self._time_scale = time_scale
        self._schedule = Schedule(card, slots)
        self._changed = asyncio.Event()
        self._stepping: asyncio.Task[None] | None = None
        self._words: tuple[TokenCounter, Filler] | None = None

    async def load(self) -> None:
        """Wait as long as the weights take to reach the card."""
        self._words = await asyncio.to_thread(_vocabulary)
        await asyncio.sleep(self._card.load_s * self._time_scale)
        self._stepping = asyncio.create_task(self._step_on(), name="simulated-card")

    async def run(self, work: EngineWork, manner: Manner = PLAIN) -> Answer:
        """Wait for the card, then answer with filler. Raises JobRefused when the prompt is over the context."""
        if self._words is None or self._stepping is None or self._stepping.done():
            raise EngineFault("the simulated card is not running.", hint="Wait for the worker to be ready.")
        work = plain(work, self.facts)
        refuse_incomplete(work)
        count, filler = self._words
        prompt_tokens = self._within_context(counted(work, count))
        wanted = work.max_output_tokens if isinstance(work, ChatInput) else work.options.max_output_tokens
        answer = filler.answer(work, limit=min(wanted, self._card.context_tokens - prompt_tokens))
        usage = Usage(prompt_tokens=prompt_tokens, output_tokens=answer.usage.output_tokens)
        await self._on_card(usage)
        signed = {"engine": NAME, "model": self.facts.model, "notice": NOTICE, "usage": usage}
        return heard(answer.model_copy(update=signed), manner)

    def signals(self) -> Signals:
        """What the card's schedule shows; it reserves a request's whole room, so it never interrupts one."""
        now = self._schedule
        return Signals(
            running=len(now.running),
            waiting=now.stuck,
            kv_use=now.held_tokens / max(1, self._card.kv_tokens),
            output_tokens=now.written,
        )

    async def until_ready(self) -> None:
        """It is never started again: `hosted` does that."""

    def again(self) -> None:
        """It is never given up."""

    async def close(self) -> None:
        """Switch the card off; what is in flight ends with EngineFault."""
        stepping, self._stepping = self._stepping, None
        if stepping is not None:
            stepping.cancel()
            await asyncio.gather(stepping, return_exceptions=True)

    def _within_context(self, prompt_tokens: int) -> int:
        if prompt_tokens < self._card.context_tokens:
            return prompt_tokens
        raise JobRefused(
            f"the prompt has {prompt_tokens:,} tokens; {self.facts.model} takes {self._card.context_tokens:,}.",
            hint="Cut it to smaller parts; `viiwork analyze` does.",
            code="context_length",
        )

    async def _on_card(self, usage: Usage) -> None:
        """Be a request until its last token; a cancelled one leaves its room at once."""
        request = Request(usage.prompt_tokens, usage.output_tokens, asyncio.get_running_loop().create_future())
        self._schedule.waiting.append(request)
        if self._schedule.admits:
            self._changed.set()
        try:
            await request.done
        except asyncio.CancelledError:
            self._schedule.drop(request)
            self._changed.set()
            raise

    async def _step_on(self) -> None:
        """Run stretch after stretch, on a clock that does not drift with late wake-ups."""
        clock_s = _now()
        try:
            while True:
                self._schedule.admit()
                stretch = self._schedule.next_stretch()
                if stretch is None:
                    await self._something_changes(until_s=None)
                    clock_s = _now()
                else:
                    clock_s = await self._run_stretch(stretch, begun_s=clock_s)
        finally:
            self._switch_off()

    async def _run_stretch(self, stretch: Stretch, *, begun_s: float) -> float:
        """Wait it out, or up to the step in which something changed. Returns when it ended on the card's clock."""
        end_s = begun_s + stretch.seconds * self._time_scale
        if await self._something_changes(until_s=end_s):
            stretch = stretch.cut((_now() - begun_s) / self._time_scale)
            end_s = begun_s + stretch.seconds * self._time_scale
            await asyncio.sleep(end_s - _now())
        for request in self._schedule.advance(stretch):
            if not request.done.done():
                request.done.set_result(None)
        return end_s if _now() - end_s < LATE_S else _now()

    async def _something_changes(self, *, until_s: float | None) -> bool:
        """Wait for an arrival that fits or a cancellation; false when the time is over first."""
        self._changed.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(until_s):
                return await self._changed.wait()
        return False

    def _switch_off(self) -> None:
        fault = EngineFault("the simulated card was switched off.", hint="The job is tried again on another worker.")
        for request in (*self._schedule.running, *self._schedule.waiting):
            if not request.done.done():
                request.done.set_exception(fault)
        self._schedule = Schedule(self._card, self._schedule.slots)


def simulated_facts(*, model: str, slots: int, card: CardModel = MISTRAL_7B) -> EngineFacts:
    """What a worker with such a card tells the fleet."""
    return EngineFacts(
        name=NAME,
        model=model,
        slots=slots,
        context_tokens=card.context_tokens,
        tokenizer=WORDLLAMA,
        notice=NOTICE,
        cannot=CANNOT,
        version=own_version(),
    )


def counted(work: ChatInput | StepInput, count: TokenCounter) -> int:
    """Tokens of the prompt, template included; about 1 us each."""
    template = TURN_TOKENS * len(work.messages) if isinstance(work, ChatInput) else TEMPLATE_TOKENS
    return template + sum(count(text) for text in texts_of(work))


def _vocabulary() -> tuple[TokenCounter, Filler]:
    try:
        count = load_counter(WORDLLAMA)
    except SettingsError as error:
        raise EngineFault("the tokenizer cannot be loaded.", hint="Install the package wordllama again.") from error
    return count, Filler(count)


def _now() -> float:
    return asyncio.get_running_loop().time()
