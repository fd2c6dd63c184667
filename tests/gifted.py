"""`python -m tests.gifted NAME` runs a worker whose engine does all that the OpenAI API has, and says what it heard.

Tools: it calls the first, twice. A shape: it fills `{"word": "heard"}`. Vectors: the text's length and its place.
Else a chat's answer is what its last turn says, a completion's its prompt with `!`. Each word has a probability.
"""

from __future__ import annotations

import sys
from typing import Any

import viiwork_workers.app as composition
from tests.wordy import WordyEngine
from viiwork.work import Answer, ChatInput, CompletionInput, EmbeddingInput, EngineWork, Usage
from viiwork_workers.__main__ import main
from viiwork_workers.engines.base import PLAIN, Engine, EngineFacts, Manner

MODEL = "gifted"
SIGNED = {"engine": "gifted", "model": MODEL, "finish_reason": "stop"}


class GiftedEngine(WordyEngine):
    """It takes everything."""

    def __init__(self) -> None:
        super().__init__()
        self.facts = EngineFacts(name="gifted", model=MODEL, slots=8, context_tokens=4096, tokenizer="wordllama")

    async def run(self, work: EngineWork, manner: Manner = PLAIN) -> Answer:
        """At once."""
        if isinstance(work, EmbeddingInput):
            vectors = tuple((float(len(text)), float(at)) for at, text in enumerate(work.texts))
            return Answer(text="", embeddings=vectors, usage=Usage(prompt_tokens=len(work.texts)), **SIGNED)
        answer = self._answer(work)
        if manner.on_text is not None and answer.text:
            manner.on_text(answer.text)
        return answer

    def _answer(self, work: EngineWork) -> Answer:
        if isinstance(work, ChatInput) and work.tools:
            called = {"name": work.tools[0]["function"]["name"], "arguments": '{"place": "here"}'}
            calls = tuple({"id": f"call_{at}", "type": "function", "function": called} for at in range(2))
            return Answer(text="", tool_calls=calls, **(SIGNED | {"finish_reason": "tool_calls"}))
        assert isinstance(work, ChatInput | CompletionInput)
        text = '{"word": "heard"}' if work.shape else said(work)
        usage = Usage(prompt_tokens=len(said(work).split()), output_tokens=len(text.split()))
        return Answer(text=text, usage=usage, logprobs=likely(work, text), **SIGNED)


def said(work: ChatInput | CompletionInput) -> str:
    """What it answers."""
    if isinstance(work, CompletionInput):
        return f"{work.prompt}!"
    last = work.messages[-1].content
    if last == "what?":
        return repr((work.temperature, work.max_output_tokens, work.sampling.seed, work.sampling.stop))
    return last


def likely(work: ChatInput | CompletionInput, text: str) -> dict[str, Any] | None:
    """As engines have it."""
    if work.sampling.logprobs is None:
        return None
    words = text.split()
    if isinstance(work, CompletionInput):
        return {"tokens": words, "token_logprobs": [-0.5] * len(words), "top_logprobs": None, "text_offset": None}
    return {"content": [{"token": word, "logprob": -0.5, "bytes": None, "top_logprobs": []} for word in words]}


def make_engine(*_settings: object, **_options: object) -> Engine:
    """In place of the one that the settings name."""
    return GiftedEngine()


if __name__ == "__main__":
    composition.make_engine = make_engine  # type: ignore[attr-defined] # in place of the one that it imported
    sys.exit(main())
