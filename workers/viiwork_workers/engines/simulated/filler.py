"""What the simulated engine says: labelled filler of a plausible length, the same for the same input."""

from __future__ import annotations

import zlib
from bisect import bisect_right
from itertools import accumulate, cycle, islice

from viiwork.documents.tokens import TokenCounter
from viiwork.work import AnalysisTask, Answer, ChatInput, StepInput, Usage

MARK = "[simulated]"
SENTENCE = "No model ran and nothing was read: these words only fill the place and the time of an answer this long."
LONGEST = 400
"""Words of filler that are at hand."""
CHAT_TOKENS = (40, 240)
USUAL_TOKENS = {
    AnalysisTask.SUMMARIZE: (60, 140),
    AnalysisTask.CLASSIFY: (3, 9),
    AnalysisTask.ASK: (20, 60),
    AnalysisTask.PROMPT: CHAT_TOKENS,
}


class Filler:
    """Counts a stock of filler once, so that an answer of a given length costs no counting."""

    def __init__(self, count: TokenCounter) -> None:
        self._stock = list(islice(cycle(SENTENCE.split()), LONGEST))
        self._tokens_up_to = list(accumulate(count(word) for word in self._stock))
        self._mark_tokens = count(f"{MARK} Stand-in 0123abcd.")

    def answer(self, work: ChatInput | StepInput, *, limit: int) -> Answer:
        """An answer of at most `limit` tokens; its mark and number stand there whatever the limit."""
        digest = zlib.crc32(work.model_dump_json(exclude={"kept"}).encode())  # what it says, wherever that lies
        low, high = CHAT_TOKENS if isinstance(work, ChatInput) else USUAL_TOKENS[work.task]
        tokens = max(1, min(limit, low + digest % (high - low)))
        usage = Usage(output_tokens=tokens)
        if isinstance(work, StepInput) and work.task is AnalysisTask.CLASSIFY:
            return _labelled(work, digest=digest).model_copy(update={"usage": usage})
        text = f"{MARK} Stand-in {digest:08x}. {self._words(tokens)}".rstrip()
        if isinstance(work, ChatInput):
            return Answer(text=text, usage=usage, finish_reason="length" if tokens >= limit else "stop")
        return Answer(text=text, usage=usage)

    def _words(self, tokens: int) -> str:
        """As many words as fill `tokens` together with the mark before them."""
        return " ".join(self._stock[: bisect_right(self._tokens_up_to, tokens - self._mark_tokens)])


def _labelled(work: StepInput, *, digest: int) -> Answer:
    """One label by lot, with shares that look like a classifier's; each by its own lot, where several may hold."""
    names = [label.name for label in work.options.labels]
    reason = f"{MARK} {SENTENCE}" if work.options.rationale else ""
    if work.options.multi:
        held = tuple(name for place, name in enumerate(names) if digest >> place % 32 & 1)
        reasons = {name: reason for name in held if reason}
        text = f"{MARK} {', '.join(held) or 'no label'}"
        return Answer(text=text, labels=held, rationales=reasons)
    chosen = names[digest % len(names)]
    rest = 0.3 / (len(names) - 1) if len(names) > 1 else 0.0
    scores = {name: 1.0 - rest * (len(names) - 1) if name == chosen else rest for name in names}
    reasons = {chosen: reason} if reason else {}
    return Answer(text=f"{MARK} {chosen}", label=chosen, confidence=scores[chosen], scores=scores, rationales=reasons)
