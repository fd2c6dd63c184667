"""What one card of a group holds of a model: weights, keys and values, activations, the runtime's own.

A rank is one card's process: with tensor parallelism it has a share of every layer, with pipeline parallelism (or
llama.cpp's split) a stage of whole layers. Sources name vLLM's classes; the figures are checked against its logs.
"""

from __future__ import annotations

from dataclasses import dataclass

from viiwork.placement.shape import WEIGHT_BYTES, ModelShape
from viiwork.placement.split import stage_layers

GIB = 1024**3
ACTIVATION_FLOOR_BYTES = round(0.8 * GIB)
"""No profile run is taken to peak below this (an assumption): the formula counts the two largest buffers, and the
allocator keeps others besides. With 0.8 GiB the table of what fits on 16 GB cards comes out, to 20 tokens."""
ALONE_BYTES, GROUPED_BYTES = round(0.5 * GIB), round(0.9 * GIB)
"""What runtime and kernels hold on a card, alone and in a group with its communication buffers (an assumption)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rank:
    """What a rank keeps for as long as it lives (weights), for a token, and for a request."""

    weights_bytes: int
    kv_bytes_per_token: int
    """Of the layers that keep every token."""
    request_bytes: int
    """Of one request of a given length: also of layers with a window, and the states of linear ones."""


def ranks(
    shape: ModelShape,
    *,
    tp: int,
    pp: int,
    request_tokens: int,
    chunk_tokens: int,
    kv_element_bytes: int = 2,
    block_tokens: int = 16,
) -> tuple[Rank, ...]:
    """One rank of each pipeline stage; the `tp` ranks of a stage are alike.

    `chunk_tokens` (max_num_batched_tokens) is what a window keeps beyond itself while a prompt comes in.
    """
    window = window_tokens(
        shape.sliding_window, request_tokens=request_tokens, chunk_tokens=chunk_tokens, block_tokens=block_tokens
    )
    whole = -(-request_tokens // block_tokens) * block_tokens
    each = layer_kv_bytes(shape, tp=tp, element_bytes=kv_element_bytes)
    found = []
    for place, layers in enumerate(stage_layers(shape.layers, pp)):
        full = _part(shape.full_attention_layers, layers, shape.layers)
        windowed = _part(shape.window_layers, layers, shape.layers)
        state = _part(shape.state_bytes, layers, shape.layers)
        weights = stage_weights(shape, layers=layers, first=place == 0, last=place == pp - 1)
        request = full * each * whole + windowed * each * window + -(-state // tp)
        found.append(
            Rank(weights_bytes=-(-weights // tp), kv_bytes_per_token=full * each, request_bytes=max(1, request))
        )
    return tuple(found)


def stage_weights(shape: ModelShape, *, layers: int, first: bool, last: bool) -> int:
    """Weights of a stage of so many layers: embeddings lie with the first, the head with the last.

    Tied ones are kept by both. Source: vLLM's `PPMissingLayer` in `LlamaModel` and `LlamaForCausalLM`.
    """
    if first and last:
        return shape.weights_bytes
    ends = shape.embedding_bytes * (1 if shape.tied_embeddings else 2)
    inner = max(0, shape.weights_bytes - ends)
    return _part(inner, layers, shape.layers) + shape.embedding_bytes * (first + last)


def layer_kv_bytes(shape: ModelShape, *, tp: int, element_bytes: int = 2) -> int:
    """Of one token in one attention layer: 2 x max(1, kv_heads/tp) x head_dim x bytes, since KV heads are divided and,
    where there are fewer than ranks, repeated (vLLM's `QKVParallelLinear`). With MLA (kv_lora_rank + rope_dim) x bytes,
    the same on every rank (vLLM's `MLAAttentionSpec`).
    """
    if shape.latent:
        return (shape.kv_lora_rank + shape.rope_dim) * element_bytes
    return 2 * max(1, -(-shape.kv_heads // tp)) * shape.head_dim * element_bytes


def window_tokens(window: int, *, request_tokens: int, chunk_tokens: int, block_tokens: int = 16) -> int:
    """Tokens that a layer with a sliding window keeps of one request: ceil(min(window - 1 + T, length) / block) + 1
    blocks, the last for a window that begins inside one (vLLM's `SlidingWindowSpec.max_memory_usage_bytes`).
    """
    kept = min(window - 1 + chunk_tokens, request_tokens)
    return (-(-kept // block_tokens) + 1) * block_tokens


def activation_bytes(
    shape: ModelShape, *, tp: int, tokens: int, seqs: int, floor_bytes: int = ACTIVATION_FLOOR_BYTES
) -> int:
    """The peak of a step of T tokens and S sequences: T x (4h + 4I/tp) x 2, at least the floor, and S x V x 8 for
    logits in 32 bits and their sorted copy. I is the width a token passes: of all its experts.

    Source: vLLM's profile run (`determine_available_memory`), whose largest buffers are the residual stream, the
    feed-forward layer's gate and up projections, and the sampler's logits.
    """
    step = tokens * (4 * shape.hidden + -(-4 * shape.active_intermediate // tp)) * WEIGHT_BYTES
    return max(step, floor_bytes) + seqs * shape.vocabulary * 8


def overhead_bytes(*, cards: int) -> int:
    """What the runtime holds besides: 0.5 GiB on a card alone, 0.9 GiB in a group (an assumption)."""
    return ALONE_BYTES if cards == 1 else GROUPED_BYTES


def _part(amount: int, layers: int, of: int) -> int:
    """The share of a stage, rounded up."""
    return -(-amount * layers // of)
