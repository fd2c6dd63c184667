"""How many weights a model has, and what a linear layer keeps, by its config.json."""

from __future__ import annotations

from viiwork.placement.attention import Layers
from viiwork.placement.textconfig import TextConfig, wrong

OUTPUT_GATED = ("qwen3_next", "qwen3_5")
"""Families whose attention has a gate at its output, as wide as its queries, whether their files say so or not."""


def feed_forward_width(text: TextConfig, source: str) -> int:
    """Of the feed-forward layer that a tensor-parallel group divides: an expert's, where there are any.

    Raises ModelError where nothing tells.
    """
    width = (text.num_experts and text.moe_intermediate_size) or text.intermediate_size or text.moe_intermediate_size
    if not width:
        raise wrong(source, "intermediate_size", "is missing")
    return width


def state_bytes(text: TextConfig) -> int:
    """Of one gated delta-net layer and sequence: the convolution's last inputs in 16 bits, and a key x value matrix a
    head in 32. Source: vLLM's `MambaStateShapeCalculator.gated_delta_net_state_shape`.
    """
    channels = 2 * text.linear_key_width + text.linear_value_width
    state = text.linear_value_width * text.linear_key_head_dim * 4
    return max(0, text.linear_conv_kernel_dim - 1) * channels * 2 + state


def linear_parameters(text: TextConfig, layers: Layers, source: str) -> int:
    """Weights of attention and of feed-forward layers: those that a quantization makes smaller. Raises ModelError."""
    kept = layers.full + layers.window
    return kept * _attention(text) + layers.linear * _linear_attention(text) + _feed_forward(text, source)


def _attention(text: TextConfig) -> int:
    """Query, key, value and output projections; with MLA their compressed forms."""
    hidden, heads = text.hidden_size, text.num_attention_heads
    if not text.kv_lora_rank:
        queries = 2 if text.attn_output_gate or text.model_type.startswith(OUTPUT_GATED) else 1
        return hidden * text.width * (heads * (queries + 1) + 2 * text.kv_heads)
    rope, nope = text.qk_rope_head_dim or 0, text.qk_nope_head_dim or text.width
    value, rank = text.v_head_dim or text.width, text.q_lora_rank
    query = rank * (hidden + heads * (nope + rope)) if rank else hidden * heads * (nope + rope)
    keys = hidden * (text.kv_lora_rank + rope) + text.kv_lora_rank * heads * (nope + value)
    return query + keys + heads * value * hidden


def _linear_attention(text: TextConfig) -> int:
    """Query, key, value, gate and output projections, and two numbers a value head."""
    ins = 2 * text.linear_key_width + 2 * text.linear_value_width + 2 * text.linear_num_value_heads
    return text.hidden_size * (ins + text.linear_value_width)


def _feed_forward(text: TextConfig, source: str) -> int:
    """Gate, up and down projections of all layers, those of every expert."""
    sparse = _sparse_layers(text)
    dense = 3 * text.hidden_size * (text.intermediate_size or feed_forward_width(text, source))
    if not sparse:
        return text.num_hidden_layers * dense
    width = feed_forward_width(text, source)
    shared = text.shared_expert_intermediate_size or (text.n_shared_experts or 0) * width
    experts = 3 * text.hidden_size * ((text.num_experts or 0) * width + shared)
    return sparse * experts + (text.num_hidden_layers - sparse) * dense


def _sparse_layers(text: TextConfig) -> int:
    """Layers with experts. Source: `Qwen3MoeDecoderLayer` (step, mlp_only_layers), `DeepseekV3DecoderLayer`."""
    if not text.num_experts:
        return 0
    dense = set(text.mlp_only_layers or ())
    layers = range(min(text.first_k_dense_replace, text.num_hidden_layers), text.num_hidden_layers)
    return sum(1 for layer in layers if layer not in dense and (layer + 1) % text.decoder_sparse_step == 0)


def plain_parameters(text: TextConfig) -> int:
    """Two norms a layer (Gemma's four) and one at the end, Qwen3's of queries and keys, Qwen2's biases, routers."""
    family, each = text.model_type, 4 if text.model_type.startswith(("gemma2", "gemma3")) else 2
    norms = (each * text.num_hidden_layers + 1) * text.hidden_size
    norms += 2 * text.width * text.num_hidden_layers if family.startswith("qwen3") else 0
    biased = text.attention_bias or family.startswith("qwen2")
    biases = (text.num_attention_heads + 2 * text.kv_heads) * text.width * text.num_hidden_layers if biased else 0
    return norms + biases + _sparse_layers(text) * text.hidden_size * (text.num_experts or 0)
