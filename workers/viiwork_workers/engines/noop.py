"""An engine that does nothing at once: for benchmarks of everything around it."""

from __future__ import annotations

from viiwork.work import Answer, ChatInput, StepInput
from viiwork_workers.engines.base import EngineFacts, Signals

NAME = "no-op"
NOTICE = "For benchmarks: no engine ran."


class NoopEngine:
    """Gives every job the same answer without waiting."""

    def __init__(self, *, model: str, slots: int) -> None:
        self.facts = EngineFacts(
            name=NAME, model=model, slots=slots, context_tokens=1_000_000, tokenizer="wordllama", notice=NOTICE
        )
        self._answer = Answer(text="no-op", engine=NAME, model=model, notice=NOTICE)

    async def load(self) -> None:
        """Nothing to load."""

    async def run(self, work: ChatInput | StepInput) -> Answer:
        """The one answer."""
        del work
        return self._answer

    def signals(self) -> Signals | None:
        """None: its slots say all there is to say."""
        return None

    async def until_ready(self) -> None:
        """It is never started again."""

    async def close(self) -> None:
        """Nothing to let go of."""
