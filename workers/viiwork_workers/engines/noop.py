"""An engine that does nothing, at once or for as long as the job says: for benchmarks of everything around it."""

from __future__ import annotations

import asyncio
import re

from viiwork.work import Answer, ChatInput, EngineWork
from viiwork_workers.engines.base import PLAIN, EngineFacts, Manner, Signals, heard, own_version

NAME = "no-op"
NOTICE = "For benchmarks: no engine ran."
PAUSE = re.compile(r"pause (\d{1,5}(?:\.\d{1,6})?) s")
"""What a chat message says to keep its slot for so many seconds."""


class NoopEngine:
    """Gives every job the same answer without waiting, or after the pause that its last message asks for."""

    def __init__(self, *, model: str, slots: int) -> None:
        self.facts = EngineFacts(
            name=NAME,
            model=model,
            slots=slots,
            context_tokens=1_000_000,
            tokenizer="wordllama",
            notice=NOTICE,
            version=own_version(),
        )
        self._answer = Answer(text="no-op", engine=NAME, model=model, notice=NOTICE)

    async def load(self) -> None:
        """Nothing to load."""

    async def run(self, work: EngineWork, manner: Manner = PLAIN) -> Answer:
        """The one answer."""
        wanted = PAUSE.fullmatch(work.messages[-1].content) if isinstance(work, ChatInput) else None
        if wanted:
            await asyncio.sleep(float(wanted[1]))
        return heard(self._answer, manner)

    def signals(self) -> Signals | None:
        """None: its slots say all there is to say."""
        return None

    async def until_ready(self) -> None:
        """It is never started again."""

    def again(self) -> None:
        """It is never given up."""

    async def close(self) -> None:
        """Nothing to let go of."""
