"""Over how many cards a model can be split, and how its layers fall on them."""

from __future__ import annotations

from typing import Literal

from viiwork.placement.shape import ModelShape

Server = Literal["vllm", "llama.cpp"]
"""How an engine splits, by its recipe's dialect: vLLM by tensor and pipeline parallelism, llama.cpp by layers (`pp`
cards, one process)."""

SMALLEST_GROUP = 32
"""vLLM's kernel for quantized experts halves the groups until they divide an expert's share, but not below this."""


def splits(shape: ModelShape, *, tp: int = 1, pp: int = 1, engine: Server = "vllm") -> str:
    """Why this model cannot be split so, in a sentence; empty if it can.

    Rules of vLLM's `ModelConfig.verify_with_parallel_config` (heads), `QKVParallelLinear` (KV heads are divided, or
    repeated) and of its GPTQ and AWQ layers (a row-parallel weight's share must hold whole groups).
    """
    if tp < 1 or pp < 1:
        return f"Tensor parallel {tp} and pipeline parallel {pp} must be at least 1."
    if engine == "llama.cpp" and tp > 1:
        return "llama.cpp splits by layers only."
    if pp > shape.layers:
        return f"{shape.name} has {shape.layers} layers: they cannot be split over {pp} cards."
    return _heads(shape, tp) or _widths(shape, tp) or _groups(shape, tp) if tp > 1 else ""


def stage_layers(layers: int, pp: int) -> tuple[int, ...]:
    """How many layers each pipeline stage gets. As vLLM's `get_pp_indices`: what is left over goes one each to the
    stages before the last, from its end, for the last has the head as well.
    """
    each, rest = divmod(layers, pp)
    stages = [each] * pp
    for back in range(rest):
        stages[-(back + 2)] += 1
    return tuple(stages)


def _heads(shape: ModelShape, tp: int) -> str:
    name = shape.name
    if shape.heads % tp:
        return f"{name} has {shape.heads} attention heads: tensor parallel {tp} does not divide them."
    if not shape.latent and shape.kv_heads % tp and tp % shape.kv_heads:
        return f"{name} has {shape.kv_heads} KV heads: tensor parallel {tp} neither divides them nor is a multiple."
    if shape.linear_heads % tp:
        return f"{name} has {shape.linear_heads} linear-attention heads: tensor parallel {tp} does not divide them."
    return ""


def _widths(shape: ModelShape, tp: int) -> str:
    if shape.intermediate % tp:
        width = shape.intermediate
        return f"{shape.name} has feed-forward layers {width} wide: tensor parallel {tp} does not divide them."
    return ""


def _groups(shape: ModelShape, tp: int) -> str:
    group = shape.quantization.group_size
    if not group or shape.quantization.method == "gguf":
        return ""
    attention, share = shape.heads * shape.head_dim // tp, shape.intermediate // tp
    if not shape.latent and attention % group:
        return _broken(shape, tp, what="attention output", share=attention, group=group)
    fitting = _expert_group(share, shape.hidden, group) if shape.experts else group
    return _broken(shape, tp, what="feed-forward layer", share=share, group=group) if share % fitting else ""


def _expert_group(share: int, hidden: int, group: int) -> int:
    """As vLLM's `MoeWNA16Method.create_weights` makes it smaller."""
    while (share % group or hidden % group) and group > SMALLEST_GROUP:
        group //= 2
    return group


def _broken(shape: ModelShape, tp: int, *, what: str, share: int, group: int) -> str:
    return (
        f"{shape.name} is quantized in groups of {group}: with tensor parallel {tp} a card's share of the {what}"
        f" is {share} wide, which is no whole number of groups."
    )
