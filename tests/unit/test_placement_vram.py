"""Does it fit: against what vLLM logged, and against the published table for 16 GB cards."""

from __future__ import annotations

from dataclasses import replace

import pytest

from viiwork.placement.catalogue import shape_named
from viiwork.placement.rank import activation_bytes, layer_kv_bytes, overhead_bytes, ranks, stage_weights, window_tokens
from viiwork.placement.shape import ModelShape, Quantization
from viiwork.placement.vram import RADEON_VII_BYTES, Fit, fit

GIB = 1024**3
THOUSAND = 1000
SLACK_TOKENS = 20
"""What three cells of the table are beyond their rounding: 17 tokens of 127,000 at most."""

TABLE = {
    # model: GiB in fp16, in int4, KiB a token; then precision, cards, thousands of tokens
    "llama-2-7b": (12.6, 3.6, 512, [("fp16", 1, 1), ("fp16", 2, 26), ("int8", 1, 13), ("int4", 1, 19)]),
    "llama-2-13b": (24.2, 6.8, 800, [("fp16", 2, 1.5), ("fp16", 4, 35), ("int8", 2, 17), ("int4", 1, 8)]),
    "mistral-7b": (13.5, 3.9, 128, [("fp16", 2, 97), ("int8", 1, 49), ("int4", 1, 75)]),
    "qwen2.5-14b": (27.5, 9.3, 192, [("fp16", 4, 127), ("int8", 2, 54), ("int4", 1, 21)]),
    "qwen3-30b-a3b": (56.9, 15.7, 96, [("fp16", 8, 243), ("int8", 4, 229), ("int4", 2, 106)]),
    "mixtral-8x7b": (87.0, 23.0, 128, [("fp16", 8, 118), ("int8", 4, 49), ("int4", 2, 20)]),
    "llama-2-70b": (128.5, 34.1, 320, [("int8", 8, 115), ("int4", 4, 55)]),
}
CELLS = [(model, *cell) for model, (*_, cells) in TABLE.items() for cell in cells]
FEWEST = {(model, kind): min(n for m, k, n, _ in CELLS if (m, k) == (model, kind)) for model, kind, _, _ in CELLS}


def on_cards(name: str, tp: int = 1, **options: int) -> Fit:
    """The fit on Radeon VIIs, for requests so short that even the tightest cell of the table takes one."""
    options = {"max_model_len": 1024, **options}
    return fit(shape_named(name), vram_bytes=RADEON_VII_BYTES, tp=tp, **options)  # type: ignore[arg-type] # all ints


@pytest.mark.parametrize(
    ("name", "tp", "pp", "logged_gib"),
    [
        ("llama-2-7b", 1, 1, 12.5523),
        ("llama-3-8b", 1, 1, 14.96),
        ("llama-3-8b", 2, 1, 7.48),
        ("qwen3-30b-a3b", 1, 1, 56.90),
        ("qwen3-30b-a3b", 4, 1, 14.25),
        ("llama-3-70b", 4, 2, 16.5),
    ],
)
def test_weights_are_what_vllm_logged(name: str, tp: int, pp: int, logged_gib: float) -> None:
    """Within 2 %, tensor and pipeline parallel."""
    found = fit(shape_named(name), vram_bytes=32 * GIB, tp=tp, pp=pp, max_model_len=1024)
    assert found.weights_bytes / GIB == pytest.approx(logged_gib, rel=0.02)


@pytest.mark.parametrize("model", TABLE)
def test_weights_and_keys_are_those_of_the_table(model: str) -> None:
    """GiB to a decimal, which the table cut in one cell, and KiB a token exactly."""
    fp16, int4, kib, _ = TABLE[model]
    shape = shape_named(model)
    assert shape.weights_bytes / GIB == pytest.approx(fp16, abs=0.051)
    assert shape_named(f"{model}:int4").weights_bytes / GIB == pytest.approx(int4, abs=0.06)
    assert shape.layers * layer_kv_bytes(shape, tp=1) == kib * 1024


@pytest.mark.parametrize(("model", "kind", "cards", "thousands"), CELLS)
def test_tokens_are_those_of_the_table(model: str, kind: str, cards: int, thousands: float) -> None:
    """Utilization 0.90, 16,368 MiB, 2,048 tokens a step, 16 requests: within what the table rounds away."""
    found = on_cards(f"{model}:{kind}", cards)
    rounding = 50 if thousands == 1.5 else 500
    assert found.fits, found.reason
    assert abs(found.kv_tokens - thousands * THOUSAND) <= rounding + SLACK_TOKENS


@pytest.mark.parametrize(("model", "kind"), FEWEST)
def test_no_fewer_cards_do(model: str, kind: str) -> None:
    """The table names the smallest power of two; half of it takes no request of 1,024 tokens."""
    half = FEWEST[model, kind] // 2
    assert not half or not on_cards(f"{model}:{kind}", half).fits


def test_llama_2_70b_in_16_bits_fits_on_no_eight_cards() -> None:
    """The table's `no`: weights alone take 16.1 GiB a card."""
    found = on_cards("llama-2-70b", 8)
    assert not found.fits
    assert found.kv_tokens == found.in_flight == 0
    assert "weights take 16.1 GiB a card" in found.reason
    assert "14.4 of 16.0 GiB may be used" in found.reason


def test_fitting_means_that_one_request_of_the_wanted_length_does() -> None:
    """Llama-2-7B in 16 bits loads on one card and has room for 1,087 tokens: no use to who wants 4,096."""
    assert on_cards("llama-2-7b", max_model_len=1024).in_flight == 1
    found = on_cards("llama-2-7b", max_model_len=4096)
    assert not found.fits
    assert found.in_flight == 0
    assert found.kv_tokens == pytest.approx(1087, abs=1)
    assert found.reason == (
        "llama-2-7b (fp16): one request of the wanted length takes 2.0 GiB a card, and 0.5 GiB are left for it."
    )


def test_in_flight_is_never_over_the_slots() -> None:
    """Room for 73 documents of 1,024 tokens is no use where an engine takes 16."""
    assert on_cards("mistral-7b:int4").in_flight == 16
    assert on_cards("mistral-7b:int4", max_num_seqs=64, max_model_len=8192).in_flight == 9


def test_a_request_longer_than_the_model_takes_is_refused_with_both_lengths() -> None:
    """Whatever the memory."""
    found = fit(shape_named("llama-2-7b"), vram_bytes=100 * GIB, max_model_len=8192)
    assert not found.fits
    assert found.reason == "llama-2-7b takes 4,096 tokens at most, 8,192 are wanted."


def test_a_split_that_cannot_be_never_fits() -> None:
    """The reason is the rule that it breaks."""
    found = fit(shape_named("llama-2-7b:int4"), vram_bytes=100 * GIB, tp=4, max_model_len=1024)
    assert not found.fits
    assert found.in_flight == 0
    assert "groups of 128" in found.reason


@pytest.mark.parametrize(("tp", "pp"), [(0, 1), (1, 0), (-3, 1), (1, 33)])
def test_senseless_splits_are_answered_and_do_not_raise(tp: int, pp: int) -> None:
    """A plan tries many."""
    assert not fit(shape_named("llama-2-7b"), vram_bytes=RADEON_VII_BYTES, tp=tp, pp=pp, max_model_len=1024).fits


def test_a_step_of_more_tokens_peaks_higher() -> None:
    """T(4h + 4I/tp) x 2 and S x V x 8, by hand for Llama-2-7B; below 0.8 GiB the floor counts."""
    shape = shape_named("llama-2-7b")
    by_hand = 8192 * (4 * 4096 + 4 * 11008) * 2 + 16 * 32000 * 8
    assert activation_bytes(shape, tp=1, tokens=8192, seqs=16) == by_hand
    assert activation_bytes(shape, tp=1, tokens=64, seqs=16) == round(0.8 * GIB) + 16 * 32000 * 8
    assert activation_bytes(shape, tp=1, tokens=64, seqs=16, floor_bytes=0) == 64 * 60416 * 2 + 16 * 32000 * 8


def test_a_token_passes_all_its_experts() -> None:
    """Qwen3-30B-A3B sends a token to 8 experts, 768 wide each."""
    shape = shape_named("qwen3-30b-a3b")
    assert shape.active_intermediate == 6144
    assert activation_bytes(shape, tp=4, tokens=1000, seqs=0, floor_bytes=0) == 1000 * (4 * 2048 + 6144) * 2


def test_a_group_holds_more_of_its_own() -> None:
    """Communication buffers; llama.cpp's split by layers has none."""
    assert overhead_bytes(cards=1) == GIB // 2
    assert overhead_bytes(cards=2) == overhead_bytes(cards=8) == round(0.9 * GIB)
    split = {"vram_bytes": RADEON_VII_BYTES, "pp": 2, "max_model_len": 1024}
    assert fit(shape_named("mistral-7b"), engine="llama.cpp", **split).overhead_bytes == GIB // 2  # type: ignore[arg-type] # all ints
    assert fit(shape_named("mistral-7b"), **split).overhead_bytes == round(0.9 * GIB)  # type: ignore[arg-type] # all ints


def test_kv_heads_are_divided_and_then_repeated() -> None:
    """4 KV heads over 8 ranks: one each, as over 4."""
    shape = shape_named("qwen3-30b-a3b")
    assert [layer_kv_bytes(shape, tp=tp) for tp in (1, 2, 4, 8)] == [2048, 1024, 512, 512]


def test_a_latent_vector_is_kept_whole_by_every_rank() -> None:
    """DeepSeek-V2-Lite: (512 + 64) x 2 bytes a layer, whatever the group."""
    shape = replace(shape_named("llama-2-7b"), kv_lora_rank=512, rope_dim=64)
    assert [layer_kv_bytes(shape, tp=tp) for tp in (1, 2, 4)] == [1152, 1152, 1152]


def test_a_window_keeps_itself_and_what_comes_in() -> None:
    """Blocks of 16, one more because a window may begin inside one; a short request keeps no more than itself."""
    assert window_tokens(4096, request_tokens=32768, chunk_tokens=2048) == (384 + 1) * 16
    assert window_tokens(4096, request_tokens=1000, chunk_tokens=2048) == (63 + 1) * 16


def test_half_of_gemma_2_keeps_a_window_alone() -> None:
    """21 layers of 8,192 tokens, 21 of 4,095 + 2,048 in whole blocks and one more, 8 KiB a token and layer."""
    (rank,) = ranks(shape_named("gemma-2-9b"), tp=1, pp=1, request_tokens=8192, chunk_tokens=2048)
    assert rank.kv_bytes_per_token == 21 * 8192
    assert rank.request_bytes == 21 * 8192 * (8192 + 6160)


def test_linear_layers_keep_a_state_and_no_tokens() -> None:
    """The state is divided among the ranks as their heads are."""
    shape = replace(shape_named("mistral-7b"), full_attention_layers=8, linear_layers=24, state_bytes=24 * 2_146_304)
    (alone,) = ranks(shape, tp=1, pp=1, request_tokens=8192, chunk_tokens=2048)
    (shared,) = ranks(shape, tp=2, pp=1, request_tokens=8192, chunk_tokens=2048)
    assert alone.kv_bytes_per_token == 8 * 4096
    assert alone.request_bytes == 8 * 4096 * 8192 + 24 * 2_146_304
    assert shared.request_bytes == alone.request_bytes // 2


def test_a_model_of_states_alone_is_bounded_by_its_slots() -> None:
    """No tokens are kept, and nothing is divided by zero."""
    shape = replace(shape_named("mistral-7b:int4"), full_attention_layers=0, linear_layers=32, state_bytes=2**20)
    found = fit(shape, vram_bytes=RADEON_VII_BYTES, max_model_len=8192)
    assert found.fits
    assert (found.kv_bytes_per_token, found.in_flight) == (0, 16)


def test_the_largest_stage_counts() -> None:
    """Embeddings lie with the first, the head with the last: with a large vocabulary these are the largest."""
    shape = shape_named("qwen2.5-7b")
    stages = [stage_weights(shape, layers=7, first=place == 0, last=place == 3) for place in range(4)]
    assert sum(stages) == shape.weights_bytes
    assert stages[0] == stages[3] > stages[1] == stages[2]
    found = fit(shape, vram_bytes=RADEON_VII_BYTES, pp=4, max_model_len=1024)
    assert found.weights_bytes == stages[0]
    assert found.kv_bytes_per_token == 7 * 2 * 4 * 128 * 2


def test_tied_embeddings_are_kept_by_both_ends() -> None:
    """Once on one card, twice on two."""
    shape = shape_named("gemma-2-9b")
    both = sum(stage_weights(shape, layers=21, first=place == 0, last=place == 1) for place in range(2))
    assert both == shape.weights_bytes + shape.embedding_bytes


def test_files_that_were_seen_go_before_what_was_counted() -> None:
    """An AWQ model whose files take 6.1 GB takes 6.1 GB."""
    shape = replace(shape_named("qwen3-8b:int4"), file_bytes=6_100_000_000)
    assert shape.weights_bytes == 6_100_000_000
    assert fit(shape, vram_bytes=RADEON_VII_BYTES, tp=2).weights_bytes == 3_050_000_000


@pytest.mark.parametrize(
    ("quantization", "each"),
    [
        (Quantization(), 2.0),
        (Quantization(kind="int8", group_size=128), 1 + 3 / 128),
        (Quantization(kind="int4", group_size=128), 0.51953125),
        (Quantization(kind="int4", group_size=32), 0.578125),
        (Quantization(kind="int4"), 0.5),
        (Quantization(kind="fp8"), 1.0),
    ],
)
def test_a_quantized_weight_carries_its_share_of_scale_and_zero_point(quantization: Quantization, each: float) -> None:
    """int8 1+3/g, int4 0.5+2.5/g."""
    assert quantization.bytes_each == each


def test_a_gguf_file_counts_its_embeddings_as_narrow_as_the_rest() -> None:
    """Of a 4-bit file a quarter of what they take in 16 bits, so that no stage is taken for larger than it is."""
    plain = shape_named("mistral-7b")
    shape = replace(plain, quantization=Quantization(kind="int4", method="gguf"), file_bytes=plain.parameters // 2)
    assert shape.embedding_bytes == pytest.approx(plain.embedding_bytes / 4, rel=0.001)
    found = fit(shape, vram_bytes=RADEON_VII_BYTES, pp=2, engine="llama.cpp")
    assert found.weights_bytes == pytest.approx(shape.file_bytes / 2, rel=0.001)


def test_what_a_card_must_give_is_the_sum_of_its_parts() -> None:
    """For the sentence `needs X GiB`."""
    found = on_cards("mistral-7b:int4", max_model_len=8192)
    parts = found.weights_bytes + found.activation_bytes + found.overhead_bytes + found.request_bytes
    assert found.needed_bytes == parts
    assert found.request_bytes == 8192 * 131072


def test_a_shape_counts_its_own_parameters() -> None:
    """Linear, plain, embeddings and head."""
    shape = ModelShape(
        name="small",
        architecture="LlamaForCausalLM",
        layers=2,
        full_attention_layers=2,
        hidden=8,
        heads=2,
        kv_heads=1,
        head_dim=4,
        intermediate=16,
        vocabulary=10,
        linear_parameters=1000,
        plain_parameters=40,
    )
    assert shape.parameters == 1000 + 40 + 2 * 80
    assert shape.weights_bytes == 2 * shape.parameters
