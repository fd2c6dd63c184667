"""Who waits for the simulated card and who is in flight on it. No clock and no I/O of its own."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from viiwork_workers.engines.simulated.card_model import CardModel

CHUNK_TOKENS = 2048
"""Prompt tokens that one step takes in: vLLM's --max-num-batched-tokens to start from on 16 GB."""


@dataclass(slots=True, eq=False)
class Request:
    """One job on the card."""

    prompt_tokens: int
    output_tokens: int
    done: asyncio.Future[None]
    read: int = 0
    written: int = 0

    @property
    def reserved_tokens(self) -> int:
        """Room in the KV cache that it holds from start to end."""
        return self.prompt_tokens + self.output_tokens


@dataclass(frozen=True, slots=True)
class Stretch:
    """What the card does next, as it stood when it began."""

    card: CardModel
    prompt_tokens: int
    """Taken in during it; 0 when it only decodes."""
    steps: int
    batch: int
    held_tokens: int

    @property
    def seconds(self) -> float:
        """Of the real card."""
        if self.prompt_tokens:
            return self.card.prefill_s(self.prompt_tokens)
        return self.card.decode_s(steps=self.steps, batch=self.batch, held_tokens=self.held_tokens)

    def cut(self, elapsed_s: float) -> Stretch:
        """The stretch ended with the step that runs after `elapsed_s`; prefill is not cut."""
        if self.prompt_tokens:
            return self
        steps = self.card.steps_in(elapsed_s, batch=self.batch, held_tokens=self.held_tokens) + 1
        return Stretch(self.card, 0, min(steps, self.steps), self.batch, self.held_tokens)


@dataclass(slots=True)
class Schedule:
    """First come, first served, while slots and KV cache last."""

    card: CardModel
    slots: int
    waiting: deque[Request] = field(default_factory=deque)
    running: list[Request] = field(default_factory=list)
    written: int = 0
    """Tokens that were written so far, also of requests that have left."""

    @property
    def free_tokens(self) -> int:
        """Room left in the KV cache."""
        return self.card.kv_tokens - sum(request.reserved_tokens for request in self.running)

    @property
    def held_tokens(self) -> int:
        """Keys and values that are there now: of the prompts taken in and the tokens written."""
        return sum(request.read + request.written for request in self.running)

    @property
    def stuck(self) -> int:
        """Requests for which there is no room; one that only waits for the step to end is not stuck."""
        return 0 if self.admits else len(self.waiting)

    @property
    def admits(self) -> bool:
        """Whether the first that waits fits."""
        room = bool(self.waiting) and len(self.running) < self.slots
        return room and self.waiting[0].reserved_tokens <= self.free_tokens

    def admit(self) -> None:
        """Let in all that fit."""
        while self.admits:
            self.running.append(self.waiting.popleft())

    def drop(self, request: Request) -> None:
        """Take a request out wherever it is; its room is free at once."""
        for place in (self.running, self.waiting):
            if request in place:
                place.remove(request)

    def next_stretch(self) -> Stretch | None:
        """Prompts first, a chunk at a time; then decoding until the first request is done. None when idle."""
        if not self.running:
            return None
        unread = sum(request.prompt_tokens - request.read for request in self.running)
        steps = min(request.output_tokens - request.written for request in self.running)
        taken_in = min(unread, CHUNK_TOKENS)
        return Stretch(self.card, taken_in, 1 if unread else steps, len(self.running), self.held_tokens)

    def advance(self, stretch: Stretch) -> list[Request]:
        """Book what the stretch did; the requests that are done leave the card."""
        ready = [request for request in self.running if request.read == request.prompt_tokens]
        for request in ready:
            request.written += stretch.steps
        self.written += stretch.steps * len(ready)
        _take_in(self.running, stretch.prompt_tokens)
        done = [request for request in ready if request.written >= request.output_tokens]
        self.running = [request for request in self.running if request not in done]
        return done


def _take_in(requests: Iterable[Request], tokens: int) -> None:
    """Read `tokens` of the prompts, the earliest request first."""
    for request in requests:
        share = min(tokens, request.prompt_tokens - request.read)
        request.read += share
        tokens -= share
