"""Over how many cards a model can be split, and why not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from viiwork.placement.catalogue import shape_named
from viiwork.placement.shape import Quantization
from viiwork.placement.split import splits, stage_layers


@pytest.mark.parametrize(
    ("name", "possible"),
    [
        ("llama-2-7b", (1, 2, 4, 8)),
        ("llama-2-7b:int4", (1, 2)),
        ("llama-2-13b:int4", (1, 2, 4)),
        ("qwen2.5-14b:int4", (1, 2, 4)),
        ("llama-2-70b:int8", (1, 2, 4, 8)),
        ("qwen3-30b-a3b", (1, 2, 4, 8)),
        ("qwen3-30b-a3b:int8", (1, 2, 4, 8)),
        ("qwen2.5-7b", (1, 2, 4)),
    ],
)
def test_a_model_splits_over_these_counts_of_cards_up_to_eight(name: str, possible: tuple[int, ...]) -> None:
    """Heads, KV heads and groups of quantized weights decide."""
    assert tuple(tp for tp in range(1, 9) if not splits(shape_named(name), tp=tp)) == possible


def test_the_reason_names_heads() -> None:
    """Three cards do for no model of 32 heads."""
    assert splits(shape_named("mistral-7b"), tp=3) == (
        "mistral-7b has 32 attention heads: tensor parallel 3 does not divide them."
    )


def test_the_reason_names_kv_heads() -> None:
    """28 heads are divided by 7, but 4 KV heads neither are nor can be repeated."""
    assert splits(shape_named("qwen2.5-7b"), tp=7) == (
        "qwen2.5-7b has 4 KV heads: tensor parallel 7 neither divides them nor is a multiple."
    )


def test_fewer_kv_heads_than_cards_are_repeated() -> None:
    """4 KV heads on 8 cards."""
    assert splits(shape_named("qwen3-30b-a3b"), tp=8) == ""


def test_the_reason_names_groups_and_the_share() -> None:
    """11008 / 4 = 2752 = 21.5 groups of 128."""
    assert splits(shape_named("llama-2-7b:int4"), tp=4) == (
        "llama-2-7b:int4 is quantized in groups of 128: with tensor parallel 4 a card's share of the feed-forward layer"
        " is 2752 wide, which is no whole number of groups."
    )


def test_attention_output_holds_whole_groups_too() -> None:
    """Another row-parallel weight: 5120 / 8 = 640 holds groups of 128, but none of 256."""
    shape = replace(shape_named("llama-2-13b"), intermediate=16384)
    wide = Quantization(kind="int4", method="gptq", group_size=256)
    assert splits(replace(shape, quantization=replace(wide, group_size=128)), tp=8) == ""
    assert "attention output is 640 wide" in splits(replace(shape, quantization=wide), tp=8)


def test_groups_of_experts_are_halved_to_32_and_no_further() -> None:
    """768 / 8 = 96 holds groups of 32; 768 / 16 = 48 does not."""
    shape = replace(shape_named("qwen3-30b-a3b:int4"), heads=32, kv_heads=4)
    assert splits(shape, tp=8) == ""
    assert "48 wide" in splits(shape, tp=16)


def test_a_width_that_is_not_divided_is_said() -> None:
    """Before its groups."""
    shape = replace(shape_named("mistral-7b"), intermediate=14337)
    assert (
        splits(shape, tp=2) == "mistral-7b has feed-forward layers 14337 wide: tensor parallel 2 does not divide them."
    )


def test_linear_attention_heads_are_divided() -> None:
    """As full attention's are."""
    shape = replace(shape_named("mistral-7b"), linear_layers=24, full_attention_layers=8, linear_heads=6)
    assert "6 linear-attention heads" in splits(shape, tp=4)
    assert splits(shape, tp=2) == ""


def test_a_latent_cache_has_no_kv_heads_to_divide() -> None:
    """Its rank is kept whole by every card."""
    shape = replace(shape_named("mistral-7b"), kv_heads=3, kv_lora_rank=512, rope_dim=64)
    assert splits(shape, tp=4) == ""


def test_llama_cpp_splits_by_layers_only() -> None:
    """As many cards as there are layers."""
    assert splits(shape_named("mistral-7b"), tp=2, engine="llama.cpp") == "llama.cpp splits by layers only."
    assert splits(shape_named("mistral-7b"), pp=5, engine="llama.cpp") == ""


def test_a_card_needs_a_layer() -> None:
    """32 layers are for 32 cards at most; and nothing is split over none."""
    assert splits(shape_named("mistral-7b"), pp=33) == "mistral-7b has 32 layers: they cannot be split over 33 cards."
    assert "at least 1" in splits(shape_named("mistral-7b"), tp=0)


@pytest.mark.parametrize(
    ("layers", "pp", "stages"),
    [(32, 1, (32,)), (80, 2, (40, 40)), (7, 3, (2, 3, 2)), (43, 10, (4, 4, 4, 4, 4, 4, 5, 5, 5, 4)), (5, 2, (3, 2))],
)
def test_layers_left_over_go_to_the_stages_before_the_last(layers: int, pp: int, stages: tuple[int, ...]) -> None:
    """As vLLM deals them."""
    assert stage_layers(layers, pp) == stages
