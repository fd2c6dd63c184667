"""What the simulated engine says: labelled filler of a plausible length, the same for the same input."""

from __future__ import annotations

import zlib

from tokenizers import Tokenizer
from viiwork.jobs import AnalysisTask, Answer, ChatInput, StepInput, Usage

MARK = "[simulated]"
SENTENCE = (
    "No model ran and nothing was read: these words only take the place and the time of an answer of this length. "
)
LONGEST = 512
"""Tokens of filler that are at hand."""
USUAL_TOKENS = {AnalysisTask.SUMMARIZE: (60, 140), AnalysisTask.CLASSIFY: (3, 9), AnalysisTask.ASK: (20, 60)}
CHAT_TOKENS = (40, 240)


class Filler:
    """Cuts a stock of filler at word ends, so that its length in tokens is known without counting it again."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        per_sentence = len(tokenizer.encode(SENTENCE, add_special_tokens=False).ids)
        self._stock = SENTENCE * (LONGEST // per_sentence + 1)
        ends = [end for _, end in tokenizer.encode(self._stock, add_special_tokens=False).offsets]
        self._cuts = [self._stock.rfind(" ", 0, end + 1) for end in ends]

    def answer(self, work: ChatInput | StepInput, *, limit: int) -> Answer:
        """An answer of at most `limit` tokens, or of the mark alone where that is longer."""
        digest = zlib.crc32(work.model_dump_json().encode())
        low, high = CHAT_TOKENS if isinstance(work, ChatInput) else USUAL_TOKENS[work.task]
        tokens = max(1, min(limit, low + digest % (high - low)))
        usage = Usage(output_tokens=tokens)
        if isinstance(work, StepInput) and work.task is AnalysisTask.CLASSIFY:
            return _labelled(work, digest=digest).model_copy(update={"usage": usage})
        return Answer(text=f"{MARK} Stand-in {digest:08x}. {self._words(tokens)}".rstrip(), usage=usage)

    def _words(self, tokens: int) -> str:
        """Filler that makes about `tokens` tokens with the mark before it."""
        spare = tokens - MARK_TOKENS
        return self._stock[: self._cuts[min(spare, len(self._cuts) - 1)]] if spare > 0 else ""


MARK_TOKENS = 16
"""Of the mark and the number of the stand-in, about."""


def _labelled(work: StepInput, *, digest: int) -> Answer:
    """One label by lot, with shares that look like a classifier's."""
    names = [label.name for label in work.options.labels]
    chosen = names[digest % len(names)]
    rest = 0.3 / (len(names) - 1) if len(names) > 1 else 0.0
    scores = {name: 1.0 - rest * (len(names) - 1) if name == chosen else rest for name in names}
    return Answer(text=f"{MARK} {chosen}", label=chosen, confidence=scores[chosen], scores=scores)
