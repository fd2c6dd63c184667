"""A shape from a config.json: every kind of attention and of quantization, and what is said of a wrong one."""

from __future__ import annotations

from typing import Any

import pytest

from viiwork.errors import ModelError
from viiwork.placement.config import shape_of_config
from viiwork.placement.shape import ModelShape, Quantization

LLAMA: dict[str, Any] = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "vocab_size": 128256,
    "max_position_embeddings": 8192,
    "torch_dtype": "bfloat16",
}
DEEPSEEK_V2_LITE: dict[str, Any] = {
    "architectures": ["DeepseekV2ForCausalLM"],
    "model_type": "deepseek_v2",
    "hidden_size": 2048,
    "intermediate_size": 10944,
    "moe_intermediate_size": 1408,
    "num_hidden_layers": 27,
    "num_attention_heads": 16,
    "num_key_value_heads": 16,
    "n_routed_experts": 64,
    "n_shared_experts": 2,
    "num_experts_per_tok": 6,
    "first_k_dense_replace": 1,
    "kv_lora_rank": 512,
    "q_lora_rank": None,
    "qk_nope_head_dim": 128,
    "qk_rope_head_dim": 64,
    "v_head_dim": 128,
    "vocab_size": 102400,
    "max_position_embeddings": 163840,
}
QWEN3_NEXT: dict[str, Any] = {
    "architectures": ["Qwen3NextForCausalLM"],
    "model_type": "qwen3_next",
    "hidden_size": 2048,
    "intermediate_size": 5120,
    "moe_intermediate_size": 512,
    "shared_expert_intermediate_size": 512,
    "num_hidden_layers": 48,
    "full_attention_interval": 4,
    "num_attention_heads": 16,
    "num_key_value_heads": 2,
    "head_dim": 256,
    "attn_output_gate": True,
    "linear_num_key_heads": 16,
    "linear_num_value_heads": 32,
    "linear_key_head_dim": 128,
    "linear_value_head_dim": 128,
    "linear_conv_kernel_dim": 4,
    "num_experts": 512,
    "num_experts_per_tok": 10,
    "vocab_size": 151936,
}


def shape(config: dict[str, Any], **changes: Any) -> ModelShape:
    """Of this configuration with these fields changed."""
    return shape_of_config({**config, **changes}, name="m", source="m/config.json")


def test_a_plain_model_is_read() -> None:
    """Llama-3-8B: its head width is not written down."""
    found = shape(LLAMA)
    assert (found.layers, found.full_attention_layers, found.window_layers, found.linear_layers) == (32, 32, 0, 0)
    assert (found.heads, found.kv_heads, found.head_dim, found.vocabulary) == (32, 8, 128, 128256)
    assert (found.architecture, found.dtype, found.max_position_embeddings) == ("LlamaForCausalLM", "bfloat16", 8192)
    assert found.parameters == 8_030_261_248
    assert not found.tied_embeddings


def test_without_kv_heads_every_head_keeps_its_own() -> None:
    """As before grouped queries."""
    assert shape(LLAMA, num_key_value_heads=None).kv_heads == 32


def test_the_language_part_of_a_model_that_sees_is_read() -> None:
    """`text_config`, with what only the outer table tells."""
    inner = {key: value for key, value in LLAMA.items() if key not in ("architectures", "torch_dtype")}
    outer = {"architectures": ["LlavaForConditionalGeneration"], "torch_dtype": "float16", "tie_word_embeddings": True}
    quantized = {"quantization_config": {"quant_method": "awq", "bits": 4, "group_size": 64}}
    found = shape({**outer, "text_config": inner, **quantized})
    assert (found.architecture, found.dtype, found.tied_embeddings) == (
        "LlavaForConditionalGeneration",
        "float16",
        True,
    )
    assert found.quantization == Quantization(kind="int4", method="awq", group_size=64)


def test_latent_attention_is_read() -> None:
    """DeepSeek-V2-Lite, 15.7 billion weights: a compressed vector and the part of a key that turns."""
    found = shape(DEEPSEEK_V2_LITE)
    assert (found.kv_lora_rank, found.rope_dim, found.latent) == (512, 64, True)
    assert (found.experts, found.experts_per_token, found.intermediate) == (64, 6, 1408)
    assert found.parameters == pytest.approx(15_706_484_224, rel=0.0001)


def test_linear_attention_keeps_a_state() -> None:
    """Qwen3-Next-80B: 12 layers keep tokens, 36 a convolution's inputs and 32 matrices of 128 x 128 in 32 bits."""
    found = shape(QWEN3_NEXT)
    assert (found.full_attention_layers, found.linear_layers, found.linear_heads) == (12, 36, 16)
    assert found.state_bytes == 36 * (3 * 8192 * 2 + 32 * 128 * 128 * 4)
    assert found.parameters == pytest.approx(79.7e9, rel=0.01)


def test_layer_types_go_before_everything_else() -> None:
    """As newer files write them; a kind that nobody knows keeps everything, to be on the safe side."""
    kinds = ["sliding_attention", "sliding_attention", "full_attention", "something_new"] * 8
    found = shape(LLAMA, layer_types=kinds, sliding_window=1024)
    assert (found.full_attention_layers, found.window_layers, found.sliding_window) == (16, 16, 1024)
    mixed = shape({**QWEN3_NEXT, "layer_types": ["linear_attention"] * 40 + ["full_attention"] * 8})
    assert (mixed.full_attention_layers, mixed.linear_layers) == (8, 40)


@pytest.mark.parametrize(
    ("changes", "windowed"),
    [
        ({"model_type": "mistral", "sliding_window": 4096}, 32),
        ({"model_type": "mistral", "sliding_window": None}, 0),
        ({"model_type": "qwen2", "sliding_window": 4096}, 0),
        ({"model_type": "qwen2", "sliding_window": 4096, "use_sliding_window": False}, 0),
        ({"model_type": "qwen2", "sliding_window": 4096, "use_sliding_window": True, "max_window_layers": 28}, 4),
        ({"model_type": "gemma2", "sliding_window": 4096}, 16),
        ({"model_type": "gemma3_text", "sliding_window": 1024}, 27),
        ({"model_type": "cohere2", "sliding_window": 4096, "sliding_window_pattern": 4}, 24),
        ({"model_type": "llama", "layer_types": ["sliding_attention"] * 32}, 0),
    ],
)
def test_windows_are_counted_as_each_family_means_them(changes: dict[str, Any], windowed: int) -> None:
    """Also where a file names a window that it switches off."""
    found = shape(LLAMA, **changes)
    assert (found.window_layers, found.full_attention_layers) == (windowed, 32 - windowed)
    assert bool(found.sliding_window) == bool(windowed)


def test_gemma_ties_its_embeddings_without_saying_so() -> None:
    """Its files leave out what is its family's custom."""
    assert shape(LLAMA, model_type="gemma2").tied_embeddings
    assert not shape(LLAMA, model_type="gemma2", tie_word_embeddings=False).tied_embeddings


def test_layers_without_experts_are_counted_as_dense() -> None:
    """Every second layer, and the first; routers are kept in 16 bits."""
    experts = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 100, "num_hidden_layers": 4}
    small = {"hidden_size": 10, "intermediate_size": 50, "num_attention_heads": 1, "num_key_value_heads": 1}
    found = shape(LLAMA, **experts, **small, decoder_sparse_step=2, mlp_only_layers=[1])
    attention, dense, sparse = 4 * 10 * 10, 3 * 10 * 50, 3 * 10 * 100 * 4
    assert found.linear_parameters == 4 * attention + 3 * dense + sparse
    assert found.plain_parameters == (2 * 4 + 1) * 10 + 10 * 4


@pytest.mark.parametrize(
    ("written", "read"),
    [
        (
            {"quant_method": "gptq", "bits": 4, "group_size": 128},
            Quantization(kind="int4", method="gptq", group_size=128),
        ),
        ({"quant_method": "gptq", "bits": 8, "group_size": -1}, Quantization(kind="int8", method="gptq")),
        (
            {"quant_method": "gptq", "bits": 3, "group_size": 128},
            Quantization(kind="other", method="gptq", group_size=128),
        ),
        (
            {"quant_method": "awq", "w_bit": 4, "q_group_size": 64},
            Quantization(kind="int4", method="awq", group_size=64),
        ),
        ({"quant_method": "fp8"}, Quantization(kind="fp8", method="fp8")),
        ({"quant_method": "bitsandbytes", "load_in_4bit": True}, Quantization(kind="int4", method="other")),
        ({"quant_method": "mxfp4"}, Quantization(kind="other", method="other")),
        (
            {
                "quant_method": "compressed-tensors",
                "config_groups": {"group_0": {"weights": {"num_bits": 4, "type": "int", "group_size": 32}}},
            },
            Quantization(kind="int4", method="compressed-tensors", group_size=32),
        ),
        (
            {
                "quant_method": "compressed-tensors",
                "config_groups": {"group_0": {"weights": {"num_bits": 8, "type": "int", "group_size": None}}},
            },
            Quantization(kind="int8", method="compressed-tensors"),
        ),
        (
            {
                "quant_method": "compressed-tensors",
                "config_groups": {"group_0": {"weights": {"num_bits": 8, "type": "float"}}},
            },
            Quantization(kind="fp8", method="compressed-tensors"),
        ),
        (None, Quantization()),
    ],
)
def test_each_tool_writes_its_quantization_its_own_way(written: dict[str, Any] | None, read: Quantization) -> None:
    """GPTQ, AWQ old and new, compressed-tensors, fp8, and others by their bits."""
    assert shape(LLAMA, quantization_config=written).quantization == read


def test_files_in_32_bits_count_half() -> None:
    """Engines load them in 16; quantized ones are what they are."""
    assert shape_of_config({**LLAMA, "torch_dtype": "float32"}, name="m", source="s", file_bytes=100).file_bytes == 50
    assert shape_of_config(LLAMA, name="m", source="s", file_bytes=100).file_bytes == 100


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"hidden_size": None}, "hidden_size is wrong"),
        ({"num_hidden_layers": 0}, "num_hidden_layers is wrong"),
        ({"num_hidden_layers": 10**9}, "num_hidden_layers is wrong"),
        ({"num_attention_heads": "many"}, "num_attention_heads is wrong"),
        ({"vocab_size": -5}, "vocab_size is wrong"),
        ({"layer_types": "full_attention"}, "layer_types is wrong"),
        ({"intermediate_size": None}, "intermediate_size is missing"),
        ({"quantization_config": "gptq"}, "quantization_config is no table"),
        ({"quantization_config": {"quant_method": "gptq", "bits": "four"}}, "quantization_config.bits is no number"),
        ({"quantization_config": {"quant_method": "compressed-tensors"}}, "config_groups names no weights"),
    ],
)
def test_what_is_wrong_is_said_with_file_and_field(changes: dict[str, Any], said: str) -> None:
    """One line, and what to do."""
    with pytest.raises(ModelError) as caught:
        shape(LLAMA, **changes)
    assert caught.value.message.startswith("m/config.json: ")
    assert said in caught.value.message
    assert caught.value.hint


def test_a_missing_field_is_named() -> None:
    """Such as in the configuration of a model that is no language model."""
    with pytest.raises(ModelError, match=r"m/config\.json: num_hidden_layers is missing"):
        shape_of_config({"model_type": "clip"}, name="m", source="m/config.json")
