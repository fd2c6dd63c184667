"""What the fleet is asked: made-up text with seeds, the same for everybody, so that figures can be compared. Pure."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from typing import Any

WORDS = (
    *("tenant", "lease", "deposit", "notice", "water", "meter", "invoice", "sample", "report", "session", "value"),
    *("nitrate", "boiler", "contract", "renewal", "term", "party", "clause", "supplier", "delivery", "damage"),
    *("insurance", "schedule", "review", "minutes", "action", "budget", "grant", "allotment", "repair", "the", "of"),
)
ASK = "Retell this at length, in your own words, and go on with it:"
SPREAD = 0.5
"""Lengths lie this far around their mean: jobs of one length end in waves, and a window would count waves."""


@dataclass(frozen=True, slots=True)
class Wording:
    """Prompts of about `prompt_tokens` of a model in which a word takes `tokens_per_word`, its own text aside."""

    prompt_tokens: int
    output_tokens: int
    tokens_per_word: float = 1.3
    """A guess until the model's own count of a first prompt is known."""

    def fitted(self, *, words: int, counted_tokens: int) -> Wording:
        """With what the model counted for a prompt of so many words."""
        if words < 1 or counted_tokens < 1:
            return self
        return replace(self, tokens_per_word=counted_tokens / words)

    @property
    def words(self) -> int:
        """In a prompt, on average."""
        return max(1, round(self.prompt_tokens / self.tokens_per_word))

    def job(self, number: int) -> dict[str, Any]:
        """The request of this number, as `POST /v1/jobs` takes it: always the same, and like no other from its start.

        An engine that keeps the beginnings of prompts would answer the same one for nothing.
        """
        lot = random.Random(number)  # noqa: S311 - the same for everybody
        share = 1.0 + SPREAD * (2 * lot.random() - 1)
        text = " ".join(lot.choices(WORDS, k=max(1, round(self.words * share))))
        return {
            "messages": [{"role": "user", "content": f"{number} {ASK} {text}"}],
            "max_output_tokens": max(1, round(self.output_tokens * share)),
            "temperature": 1.0,
            "seed": number,
        }
