"""How long a Radeon VII takes: the cost model of the simulated engine. Pure arithmetic, seconds of the real card.

Fitted to the published MI50 figures (the same chip: 60 CU, 1 TB/s) of Qwen3-VL-8B AWQ under vLLM 0.11: 74.5 tokens/s
alone and 197 with 4 in flight; 55 and 116 at 4,096 tokens of context; 42 and 81 at 8,192; prefill 647 tokens/s. The
model gives those within 8 %, but for one request alone at 8,192 (48, 15 % too fast).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

GIB = 1024**3
VRAM_BYTES = 17_163_091_968
"""What a Radeon VII reads as its total."""
VRAM_SHARE = 0.90
"""vLLM's --gpu-memory-utilization to start from on 16 GB."""
CONTEXT_BYTES = 0.5 * GIB
"""Of the runtime on one card: an assumption."""
WEIGHTS_BANDWIDTH = 365e9
"""Bytes/s of 4-bit weights read in decode: 360-370 GB/s, derived from measured decode rates."""
KV_BANDWIDTH = 165e9
"""Bytes/s of keys and values read in decode. Fit: 4 in flight lose 14.2 ms a step by 4,096 tokens of context each."""
SEQUENCE_S = 0.0023
"""What one more request in flight adds to a step. Fit: 20.3 ms a step with 4, 13.4 ms alone."""
PREFILL_WORK = 5.3e12
"""Parameters x tokens/s in prefill: 647 tokens/s x 8.2e9. (gemma-4-12B gives 5.9e12, Qwen3.5-27B 6.7e12.)"""
DISK_BANDWIDTH = 0.5e9
"""Bytes/s from a SATA disk to VRAM; PCIe (13.2 GB/s at x16) is never the brake. An assumption."""
STARTUP_S = 12.0
"""Start of an engine apart from its weights, with a warm Triton cache: an assumption."""
ROUNDING = 1e-9


HALVES_BANDWIDTH = 530e9
"""The same of weights in 16 bits: 510-555 GB/s, derived likewise."""
EXCHANGE_S = 100e-6
"""One all-reduce of a tensor-parallel group: 79-119 us measured; a layer has two."""


@dataclass(frozen=True, slots=True)
class CardModel:
    """One model on one card, or on a group of them that works as one."""

    alias: str
    parameters: float
    weights_bytes: float
    """In VRAM."""
    read_bytes: float
    """Of the weights, read at each decode step: all but the input embeddings."""
    kv_bytes_per_token: int
    activation_bytes: float
    context_tokens: int
    """The longest prompt plus output of one request."""
    cards: int = 1
    tensor: int = 1
    """Cards that share each step; those of a pipeline take turns, so that its steps are as long as one card's."""
    layers: int = 0
    bandwidth: float = WEIGHTS_BANDWIDTH
    room_tokens: int | None = None
    """What was planned for keys and values of all requests together; None: what one card has left."""

    @property
    def kv_tokens(self) -> int:
        """How many tokens of all requests together fit in what the weights leave of VRAM."""
        if self.room_tokens is not None:
            return self.room_tokens
        free = VRAM_SHARE * VRAM_BYTES - self.weights_bytes - self.activation_bytes - CONTEXT_BYTES
        return max(0, int(free // self.kv_bytes_per_token))

    def vram_used_bytes(self, kv_use: float) -> int:
        """What it holds of each card when so much of the room for keys and values is in use, 0 to 1."""
        return int(self.weights_bytes + kv_use * self.kv_tokens * self.kv_bytes_per_token) // self.cards

    @property
    def load_s(self) -> float:
        """From the start of the engine to its first answer."""
        return STARTUP_S + self.weights_bytes / DISK_BANDWIDTH

    def prefill_s(self, tokens: int) -> float:
        """To take in a prompt; decoding stands still meanwhile."""
        return tokens * self.parameters / PREFILL_WORK / self.tensor + self._exchange_s

    def decode_s(self, *, steps: int, batch: int, held_tokens: int) -> float:
        """For `steps` tokens to each of `batch` requests that hold `held_tokens` together before the first of them.

        The sum over the steps of weights/bandwidth + (batch - 1) x sequence + held/bandwidth; held grows by `batch`
        a step.
        """
        return steps * self._step_s(batch, held_tokens) + self._growth_s(batch) * steps * (steps - 1) / 2

    def steps_in(self, seconds: float, *, batch: int, held_tokens: int) -> int:
        """How many whole steps fit in `seconds`: the inverse of `decode_s`."""
        half = self._growth_s(batch) / 2
        linear = self._step_s(batch, held_tokens) - half
        return int((-linear + math.sqrt(linear**2 + 4 * half * max(0.0, seconds))) / (2 * half) + ROUNDING)

    def _step_s(self, batch: int, held_tokens: int) -> float:
        reading = self.read_bytes / self.bandwidth + held_tokens * self.kv_bytes_per_token / KV_BANDWIDTH
        return reading / self.tensor + (batch - 1) * SEQUENCE_S + self._exchange_s

    def _growth_s(self, batch: int) -> float:
        return batch * self.kv_bytes_per_token / KV_BANDWIDTH / self.tensor

    @property
    def _exchange_s(self) -> float:
        return 2 * self.layers * EXCHANGE_S if self.tensor > 1 else 0.0


MISTRAL_7B = CardModel(
    alias="simulated-mistral-7b",
    parameters=7.24e9,
    # int4, group 128: 0.5195 bytes for each of 6.98e9 linear weights, plus two float16 tables of 32,000 x 4,096
    weights_bytes=6.98e9 * 0.5195 + 2 * 32_000 * 4096 * 2,
    read_bytes=6.98e9 * 0.5195 + 32_000 * 4096 * 2,
    # 2 (key and value) x 32 layers x 8 heads x 128 x 2 bytes
    kv_bytes_per_token=2 * 32 * 8 * 128 * 2,
    # T x (4h + 4I) x 2 + S x V x 8 with T = 2,048 batched tokens, h = 4,096, I = 14,336, S = 16, V = 32,000
    activation_bytes=2048 * (4 * 4096 + 4 * 14_336) * 2 + 16 * 32_000 * 8,
    context_tokens=8192,
)
"""Mistral-7B int4 on one card: 3.9 GiB of weights, room for about 80,000 tokens of keys and values."""
