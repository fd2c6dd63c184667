"""`python -m tests.wordy NAME` runs a worker whose engine writes word by word, each with the worker's own pid in it.

The last message of a chat says how: `20 words, one every 0.05 s`; with `, then fail` the engine is at fault after them.
`20 words, as FILE lets` waits before each word until FILE has as many bytes; FILE.said has one for each word written.
"""

from __future__ import annotations

import asyncio
import os
import re
import sys
from pathlib import Path

import viiwork_workers.app as composition
from viiwork.errors import EngineFault, JobRefused
from viiwork.work import Answer, ChatInput, EngineWork, Usage
from viiwork_workers.__main__ import main
from viiwork_workers.engines.base import PLAIN, Engine, EngineFacts, Manner, Signals

MODEL = "noop"
ORDER = re.compile(r"(\d+) words, (?:one every (\d+(?:\.\d+)?) s|as (/\S+) lets)(, then fail)?")
LOOK_S = 0.005


class WordyEngine:
    """Writes what it is told to, at the pace that it is told."""

    def __init__(self) -> None:
        self.facts = EngineFacts(name="wordy", model=MODEL, slots=64, context_tokens=4096, tokenizer="wordllama")
        self._words = 0

    async def load(self) -> None:
        """Nothing to load."""

    async def run(self, work: EngineWork, manner: Manner = PLAIN) -> Answer:
        """The words, each told as it is written."""
        order = ORDER.fullmatch(work.messages[-1].content) if isinstance(work, ChatInput) else None
        if order is None:
            raise JobRefused("the stand-in writes words only.")
        text = ""
        gate = Path(order[3]) if order[3] else None
        for number in range(int(order[1])):
            while gate is not None and gate.stat().st_size <= number:
                await asyncio.sleep(LOOK_S)
            word = f"{number}né{os.getpid()} "
            text += word
            self._words += 1
            if manner.on_text is not None:
                manner.on_text(word)
            if gate is not None:
                gate.with_name(f"{gate.name}.said").write_bytes(bytes(number + 1))
            await asyncio.sleep(float(order[2] or 0))
        if order[4]:
            raise EngineFault("the stand-in was told to fail.")
        usage = Usage(prompt_tokens=1, output_tokens=int(order[1]))
        return Answer(text=text, engine="wordy", model=MODEL, usage=usage)

    def signals(self) -> Signals:
        """How many words it has written."""
        return Signals(output_tokens=self._words)

    async def until_ready(self) -> None:
        """It is always ready."""

    def again(self) -> None:
        """It is never given up."""

    async def close(self) -> None:
        """Nothing to let go of."""


def make_engine(*_settings: object, **_options: object) -> Engine:
    """In place of the one that the settings name."""
    return WordyEngine()


if __name__ == "__main__":
    composition.make_engine = make_engine  # type: ignore[attr-defined] # in place of the one that it imported
    sys.exit(main())
