"""Does it fit: more memory never fits less, more cards never hold more each, and nothing is ever below zero."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from viiwork.errors import ModelError
from viiwork.placement.config import shape_of_config
from viiwork.placement.rank import ranks
from viiwork.placement.shape import ModelShape, Quantization
from viiwork.placement.split import splits, stage_layers
from viiwork.placement.vram import Fit, fit

GIB = 1024**3
CARDS = st.integers(0, 64 * GIB)
LENGTHS = st.integers(1, 200_000)


@st.composite
def shapes(draw: st.DrawFn) -> ModelShape:
    """Models of all kinds: dense and sparse, with windows, states, latents, quantized, seen on a disk or not."""
    full, window, linear = (draw(st.integers(0, 40)) for _ in range(3))
    layers = full + window + linear or 1
    kv_heads = draw(st.sampled_from([1, 2, 4, 8, 16]))
    kind = draw(st.sampled_from(["none", "int8", "int4", "fp8", "other"]))
    grouped = kind in ("int8", "int4")
    return ModelShape(
        name="m",
        architecture="LlamaForCausalLM",
        layers=layers,
        full_attention_layers=full,
        window_layers=window,
        sliding_window=draw(st.integers(1, 8192)) if window else 0,
        linear_layers=linear,
        linear_heads=16 if linear else 0,
        state_bytes=linear * draw(st.integers(0, 2**22)),
        hidden=draw(st.sampled_from([512, 2048, 4096, 8192])),
        heads=kv_heads * draw(st.sampled_from([1, 2, 4, 8])),
        kv_heads=kv_heads,
        head_dim=draw(st.sampled_from([64, 128, 256])),
        intermediate=draw(st.sampled_from([1024, 11008, 14336])),
        experts=draw(st.sampled_from([0, 8])),
        experts_per_token=draw(st.integers(0, 8)),
        vocabulary=draw(st.integers(1, 300_000)),
        tied_embeddings=draw(st.booleans()),
        kv_lora_rank=draw(st.sampled_from([0, 512])),
        rope_dim=64,
        linear_parameters=draw(st.integers(0, 10**11)),
        plain_parameters=draw(st.integers(0, 10**8)),
        quantization=Quantization(
            kind=kind,  # type: ignore[arg-type] # one of its words
            method="gptq" if grouped else "",
            group_size=draw(st.sampled_from([0, 32, 128])) if grouped else 0,
        ),
        max_position_embeddings=draw(st.sampled_from([0, 4096, 131072])),
        file_bytes=draw(st.sampled_from([0, 10**9, 10**11])),
    )


def numbers(found: Fit) -> tuple[int, ...]:
    """All that can be counted."""
    return (
        found.weights_bytes,
        found.activation_bytes,
        found.overhead_bytes,
        found.kv_bytes_per_token,
        found.request_bytes,
        found.kv_tokens,
        found.in_flight,
    )


@given(shapes(), CARDS, st.integers(1, 16), st.integers(1, 16), LENGTHS)
def test_nothing_is_below_zero_and_what_fits_fits(
    shape: ModelShape, vram_bytes: int, tp: int, pp: int, length: int
) -> None:
    """What fits leaves room for a whole request; what does not has a reason, and only that."""
    found = fit(shape, vram_bytes=vram_bytes, tp=tp, pp=pp, max_model_len=length)
    assert min(numbers(found)) >= 0
    assert found.fits == (not found.reason)
    assert found.fits == (found.in_flight >= 1)
    if found.fits:
        assert found.needed_bytes - found.request_bytes < vram_bytes * 0.9
        assert found.kv_tokens >= length


@given(shapes(), CARDS, CARDS, st.integers(1, 8), st.integers(1, 8), LENGTHS)
def test_more_memory_never_fits_less(shape: ModelShape, some: int, other: int, tp: int, pp: int, length: int) -> None:
    """Neither tokens nor documents."""
    small, large = sorted((some, other))
    less = fit(shape, vram_bytes=small, tp=tp, pp=pp, max_model_len=length)
    more = fit(shape, vram_bytes=large, tp=tp, pp=pp, max_model_len=length)
    assert more.kv_tokens >= less.kv_tokens
    assert more.in_flight >= less.in_flight
    assert more.fits >= less.fits


@given(shapes(), CARDS, st.sampled_from([(1, 2), (2, 4), (4, 8), (2, 8)]), LENGTHS)
def test_a_larger_group_never_holds_more_on_each_card(
    shape: ModelShape, vram_bytes: int, sizes: tuple[int, int], length: int
) -> None:
    """Weights, activations and keys shrink or stay; from two cards on, what fits keeps fitting if it can be split."""
    fewer, more = sizes
    small = fit(shape, vram_bytes=vram_bytes, tp=fewer, max_model_len=length)
    large = fit(shape, vram_bytes=vram_bytes, tp=more, max_model_len=length)
    assert large.weights_bytes <= small.weights_bytes
    assert large.activation_bytes <= small.activation_bytes
    assert large.kv_bytes_per_token <= small.kv_bytes_per_token
    assert large.request_bytes <= small.request_bytes
    if fewer > 1 and not splits(shape, tp=more):
        assert large.fits >= small.fits
        assert large.kv_tokens >= small.kv_tokens or not small.fits


@given(shapes(), CARDS, st.integers(1, 16), st.integers(1, 16))
def test_what_outweighs_the_memory_never_fits(shape: ModelShape, vram_bytes: int, tp: int, pp: int) -> None:
    """Whatever else: all cards together hold all weights."""
    found = fit(shape, vram_bytes=vram_bytes, tp=tp, pp=pp, max_model_len=1)
    if shape.weights_bytes > tp * pp * vram_bytes:
        assert not found.fits
        assert found.kv_tokens == 0


@given(shapes(), st.integers(1, 8), st.integers(1, 8))
def test_all_stages_together_hold_the_whole_model(shape: ModelShape, tp: int, pp: int) -> None:
    """No weight is lost between them, and every layer has one."""
    pp = min(pp, shape.layers)
    held = ranks(shape, tp=tp, pp=pp, request_tokens=1024, chunk_tokens=2048)
    assert len(held) == pp
    assert sum(rank.weights_bytes for rank in held) * tp >= shape.weights_bytes
    assert sum(stage_layers(shape.layers, pp)) == shape.layers
    assert min(stage_layers(shape.layers, pp)) >= 1


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=5,
)
FIELDS = [
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "head_dim",
    "intermediate_size",
    "vocab_size",
    "layer_types",
    "sliding_window",
    "quantization_config",
    "text_config",
    "architectures",
    "num_experts",
    "kv_lora_rank",
    "torch_dtype",
]


@given(st.dictionaries(st.sampled_from(FIELDS), json_values))
def test_any_config_gives_a_shape_or_an_error_of_ours(changes: dict[str, object]) -> None:
    """No stack trace, whatever stands in the file."""
    plain = {
        "hidden_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 8,
        "vocab_size": 9,
    }
    config = json.loads(json.dumps({**plain, **changes}))
    try:
        shape = shape_of_config(config, name="m", source="config.json")
    except ModelError as error:
        assert error.message.startswith("config.json: ")
    else:
        assert shape.weights_bytes >= 0
        assert fit(shape, vram_bytes=16 * GIB, max_model_len=16).kv_tokens >= 0
