"""A shape from a model's config.json: pure, the mapping comes in and nothing is opened."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, ValidationError

from viiwork.errors import ModelError
from viiwork.placement.attention import Layers, count_layers
from viiwork.placement.quantized import quantization_of
from viiwork.placement.shape import ModelShape

Count = Annotated[int, Field(ge=1, le=2**31)]
Few = Annotated[int, Field(ge=0, le=2**31)]


class TextConfig(BaseModel):
    """The fields of a config.json that decide about memory, under the names that transformers gives them."""

    model_config = ConfigDict(frozen=True, extra="ignore", protected_namespaces=())

    model_type: str = ""
    num_hidden_layers: Annotated[int, Field(ge=1, le=10_000)]
    hidden_size: Count
    num_attention_heads: Count
    num_key_value_heads: Count | None = None
    head_dim: Count | None = None
    intermediate_size: Count | None = None
    vocab_size: Count
    max_position_embeddings: Few = 0
    tie_word_embeddings: bool | None = None
    attention_bias: bool = False
    dtype: str | None = Field(default=None, validation_alias=AliasChoices("dtype", "torch_dtype"))

    num_experts: Few | None = Field(
        default=None, validation_alias=AliasChoices("num_experts", "num_local_experts", "n_routed_experts")
    )
    num_experts_per_tok: Few | None = None
    moe_intermediate_size: Count | None = None
    shared_expert_intermediate_size: Few | None = None
    n_shared_experts: Few | None = None
    first_k_dense_replace: Few = 0
    decoder_sparse_step: Count = 1
    mlp_only_layers: tuple[int, ...] | None = None

    sliding_window: Few | None = None
    use_sliding_window: bool | None = None
    max_window_layers: Few | None = None
    sliding_window_pattern: Few | None = None
    layer_types: tuple[str, ...] | None = None
    full_attention_interval: Few | None = None

    linear_num_key_heads: Few = 0
    linear_num_value_heads: Few = 0
    linear_key_head_dim: Few = 0
    linear_value_head_dim: Few = 0
    linear_conv_kernel_dim: Few = 0
    attn_output_gate: bool = False

    kv_lora_rank: Few | None = None
    q_lora_rank: Few | None = None
    qk_rope_head_dim: Few | None = None
    qk_nope_head_dim: Few | None = None
    v_head_dim: Few | None = None

    @property
    def width(self) -> int:
        """Of one head."""
        return self.head_dim or max(1, self.hidden_size // self.num_attention_heads)

    @property
    def kv_heads(self) -> int:
        """As many as heads where it does not tell."""
        return self.num_key_value_heads or self.num_attention_heads

    @property
    def linear_key_width(self) -> int:
        """Of all key heads of a linear-attention layer."""
        return self.linear_num_key_heads * self.linear_key_head_dim

    @property
    def linear_value_width(self) -> int:
        """Of all value heads of a linear-attention layer."""
        return self.linear_num_value_heads * self.linear_value_head_dim


def shape_of_config(config: Mapping[str, Any], *, name: str, source: str, file_bytes: int = 0) -> ModelShape:
    """The shape of a model with this config.json; `source` is the file that errors name.

    Files in 32 bits count half: engines load them in 16. Raises ModelError that names the file, the field and what is
    wrong with it.
    """
    text = _text(config, source)
    quantized = config.get("quantization_config") or _nested(config).get("quantization_config")
    quantization = quantization_of(quantized, source=source)
    dtype = text.dtype or str(config.get("dtype") or config.get("torch_dtype") or "")
    layers = count_layers(text)
    tied = text.tie_word_embeddings
    return ModelShape(
        name=name,
        architecture=_architecture(config, text),
        layers=text.num_hidden_layers,
        full_attention_layers=layers.full,
        window_layers=layers.window,
        sliding_window=(text.sliding_window or 0) if layers.window else 0,
        linear_layers=layers.linear,
        linear_heads=text.linear_num_key_heads if layers.linear else 0,
        state_bytes=layers.linear * _state_bytes(text),
        hidden=text.hidden_size,
        heads=text.num_attention_heads,
        kv_heads=text.kv_heads,
        head_dim=text.width,
        intermediate=_width(text, source),
        experts=text.num_experts or 0,
        experts_per_token=(text.num_experts_per_tok or 0) if text.num_experts else 0,
        vocabulary=text.vocab_size,
        tied_embeddings=text.model_type.startswith("gemma") if tied is None else tied,
        kv_lora_rank=text.kv_lora_rank or 0,
        rope_dim=(text.qk_rope_head_dim or 0) if text.kv_lora_rank else 0,
        linear_parameters=_linear_parameters(text, layers, source),
        plain_parameters=_plain_parameters(text),
        quantization=quantization,
        max_position_embeddings=text.max_position_embeddings,
        dtype=dtype,
        file_bytes=file_bytes // 2 if dtype == "float32" and quantization.kind == "none" else file_bytes,
    )


def _nested(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """The language model's part, where images or sounds are read as well."""
    text = config.get("text_config")
    return text if isinstance(text, dict) else config


def _text(config: Mapping[str, Any], source: str) -> TextConfig:
    outer = {key: config[key] for key in ("tie_word_embeddings",) if config.get(key) is not None}
    try:
        return TextConfig.model_validate({**outer, **_nested(config)})
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        field = ".".join(str(part) for part in first["loc"])
        reason = "is missing" if first["type"] == "missing" else f"is wrong: {first['msg'].lower()}"
        raise wrong(source, field, reason) from error


def wrong(source: str, field: str, reason: str) -> ModelError:
    """What is said of a field that is not as it should be."""
    return ModelError(f"{source}: {field} {reason}.", hint="Fetch the model again, or name another.")


def _architecture(config: Mapping[str, Any], text: TextConfig) -> str:
    names = config.get("architectures")
    return str(names[0]) if isinstance(names, list) and names else text.model_type


def _width(text: TextConfig, source: str) -> int:
    """Of the feed-forward layer that a tensor-parallel group divides."""
    width = (text.num_experts and text.moe_intermediate_size) or text.intermediate_size or text.moe_intermediate_size
    if not width:
        raise wrong(source, "intermediate_size", "is missing")
    return width


def _state_bytes(text: TextConfig) -> int:
    """Of one gated delta-net layer and sequence: the convolution's last inputs in 16 bits, and a key x value matrix a
    head in 32. Source: vLLM's `MambaStateShapeCalculator.gated_delta_net_state_shape`.
    """
    channels = 2 * text.linear_key_width + text.linear_value_width
    state = text.linear_value_width * text.linear_key_head_dim * 4
    return max(0, text.linear_conv_kernel_dim - 1) * channels * 2 + state


def _linear_parameters(text: TextConfig, layers: Layers, source: str) -> int:
    kept = layers.full + layers.window
    return kept * _attention(text) + layers.linear * _linear_attention(text) + _feed_forward(text, source)


def _attention(text: TextConfig) -> int:
    """Query, key, value and output projections; with MLA their compressed forms."""
    hidden, heads = text.hidden_size, text.num_attention_heads
    if not text.kv_lora_rank:
        queries = 2 if text.attn_output_gate else 1
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
    dense = 3 * text.hidden_size * (text.intermediate_size or _width(text, source))
    if not sparse:
        return text.num_hidden_layers * dense
    width = _width(text, source)
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


def _plain_parameters(text: TextConfig) -> int:
    """Two norms a layer (Gemma's four) and one at the end, Qwen3's of queries and keys, Qwen2's biases, routers."""
    family, each = text.model_type, 4 if text.model_type.startswith(("gemma2", "gemma3")) else 2
    norms = (each * text.num_hidden_layers + 1) * text.hidden_size
    norms += 2 * text.width * text.num_hidden_layers if family.startswith("qwen3") else 0
    biased = text.attention_bias or family.startswith("qwen2")
    biases = (text.num_attention_heads + 2 * text.kv_heads) * text.width * text.num_hidden_layers if biased else 0
    return norms + biases + _sparse_layers(text) * text.hidden_size * (text.num_experts or 0)
