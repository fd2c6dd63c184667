"""A shape from a model's config.json: pure, the mapping comes in and nothing is opened."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from viiwork.placement.attention import count_layers
from viiwork.placement.counting import feed_forward_width, linear_parameters, plain_parameters, state_bytes
from viiwork.placement.quantized import quantization_of
from viiwork.placement.shape import ModelShape
from viiwork.placement.textconfig import TextConfig, wrong


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
        state_bytes=layers.linear * state_bytes(text),
        hidden=text.hidden_size,
        heads=text.num_attention_heads,
        kv_heads=text.kv_heads,
        head_dim=text.width,
        intermediate=feed_forward_width(text, source),
        experts=text.num_experts or 0,
        experts_per_token=(text.num_experts_per_tok or 0) if text.num_experts else 0,
        vocabulary=text.vocab_size,
        tied_embeddings=text.model_type.startswith("gemma") if tied is None else tied,
        kv_lora_rank=text.kv_lora_rank or 0,
        rope_dim=(text.qk_rope_head_dim or 0) if text.kv_lora_rank else 0,
        linear_parameters=linear_parameters(text, layers, source),
        plain_parameters=plain_parameters(text),
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


def _architecture(config: Mapping[str, Any], text: TextConfig) -> str:
    names = config.get("architectures")
    return str(names[0]) if isinstance(names, list) and names else text.model_type
