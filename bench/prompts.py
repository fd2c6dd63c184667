"""What both sides ask: the same prompts with the same seeds, so that the same tokens come back."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

WORDS = (
    *("tenant", "lease", "deposit", "notice", "water", "meter", "invoice", "sample", "report", "session", "value"),
    *("nitrate", "boiler", "contract", "renewal", "term", "party", "clause", "supplier", "delivery", "damage"),
    *("insurance", "schedule", "review", "minutes", "action", "budget", "grant", "allotment", "repair"),
)
PROMPT_WORDS = 48


@dataclass(frozen=True, slots=True)
class Prompt:
    """One request, in the words of both doors."""

    text: str
    seed: int
    output_tokens: int

    def ours(self) -> dict[str, Any]:
        """As `POST /v1/jobs` takes it."""
        return self._same() | {"max_output_tokens": self.output_tokens}

    def theirs(self, model: str, *, priority: int) -> dict[str, Any]:
        """As the engine's own server takes it."""
        return self._same() | {"model": model, "max_tokens": self.output_tokens, "priority": priority}

    def _same(self) -> dict[str, Any]:
        return {"messages": [{"role": "user", "content": self.text}], "temperature": 1.0, "seed": self.seed}


def prompts(count: int, *, output_tokens: int, first: int = 0) -> list[Prompt]:
    """`count` of them, from the `first` on; the same number is always the same prompt."""
    return [_prompt(number, output_tokens) for number in range(first, first + count)]


def _prompt(number: int, output_tokens: int) -> Prompt:
    lot = random.Random(number)
    return Prompt(" ".join(lot.choices(WORDS, k=PROMPT_WORDS)), number, output_tokens)
