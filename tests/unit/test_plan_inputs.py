"""Cards and wishes as people write them, and cards as a machine shows them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from viiwork.devices import Device, Link, Reading, State
from viiwork.errors import UsageError
from viiwork.placement.cards import cards_named, cards_of
from viiwork.placement.wish import narrower, read_wish

GIB = 1024**3
SMALL = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 256,
    "intermediate_size": 512,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "vocab_size": 1000,
    "max_position_embeddings": 2048,
    "torch_dtype": "float16",
}


def device(index: int = 0, *, openable: bool = True, vram_bytes: int = 16 * GIB) -> Device:
    return Device(f"id{index}", "amd", index, "Radeon VII", "gfx906", vram_bytes, openable=openable)


def test_a_list_of_cards_numbers_them_and_keeps_the_link_of_their_kind() -> None:
    """Radeon VII on 16 lanes of PCIe 3: 13.1 GB/s."""
    cards = cards_named("2xRadeonVII+1xMI50-32GB")
    assert [(card.label, card.kind) for card in cards] == [
        ("gpu0", "Radeon VII"),
        ("gpu1", "Radeon VII"),
        ("gpu2", "Instinct MI50 32GB"),
    ]
    assert cards[0].link_bytes_s == pytest.approx(13.2e9, rel=0.02)


@pytest.mark.parametrize(
    ("written", "gb_s"),
    [("RadeonVII@x1", 0.82), ("RadeonVII@x8", 6.5), ("RadeonVII@gen1x1", 0.26), ("MI50@gen3x4", 3.3)],
)
def test_a_list_of_cards_may_say_how_they_are_connected(written: str, gb_s: float) -> None:
    """Lanes, with or without a generation."""
    speed = cards_named(written)[0].link_bytes_s
    assert speed is not None
    assert speed / 1e9 == pytest.approx(gb_s, rel=0.02)


@pytest.mark.parametrize("written", ["", "4xRadeonVIII", "RadeonVII@y", "RadeonVII@x3", "64xRadeonVII+1xMI50", "@x1"])
def test_a_list_that_cannot_be_read_is_refused(written: str) -> None:
    """As a fault of the option `cards`."""
    with pytest.raises(UsageError) as refused:
        cards_named(written)
    assert refused.value.param == "cards"


@pytest.mark.parametrize("state", ["resetting", "gone"])
def test_a_card_that_is_not_there_for_now_takes_nothing(state: State) -> None:
    """It is known, and why it is left out."""
    (card,) = cards_of([(device(), Reading(state=state))])
    assert card.trouble


def test_cards_that_may_not_be_opened_or_hide_their_memory_take_nothing() -> None:
    """A card in order does."""
    seen = [
        (device(-1, openable=False), Reading("ok")),
        (device(0, vram_bytes=0), Reading("ok")),
        (device(1), Reading("ok")),
    ]
    assert [bool(card.trouble) for card in cards_of(seen)] == [True, True, False]


def test_an_idle_link_counts_by_its_full_speed_and_a_riser_by_its_lanes() -> None:
    """Cards clock their links down; a riser of one lane keeps one."""
    idle = Reading("ok", link=Link(2.5, 16, 8.0, 16))
    riser = Reading("ok", link=Link(8.0, 1, 8.0, 16))
    speeds = [card.link_bytes_s for card in cards_of([(device(0), idle), (device(1), riser)])]
    assert speeds == [pytest.approx(13.1e9, rel=0.01), pytest.approx(0.82e9, rel=0.01)]


def test_a_wish_has_a_share_replicas_and_a_context() -> None:
    """In any order after the name."""
    wish = read_wish("mistral-7b:int4,replicas=2,share=0.5,context=16384")
    assert (wish.shape.name, wish.share, wish.replicas, wish.max_model_len) == ("mistral-7b:int4", 0.5, 2, 16384)


def test_a_wish_without_a_context_takes_8192_tokens_or_what_the_model_can() -> None:
    """Llama 2 was made for 4,096."""
    assert read_wish("mistral-7b").max_model_len == 8192
    assert read_wish("llama-2-7b").max_model_len == 4096
    assert read_wish("llama-2-7b", context_tokens=8192).max_model_len == 8192


@pytest.mark.parametrize(
    "written",
    [
        "mistral-7b,share=no", "mistral-7b,share=0", "mistral-7b,share=nan", "mistral-7b,replicas=1.5",
        "mistral-7b,replicas=0", "mistral-7b,context=-1", "mistral-7b,shares=2", "mistral-7b:int5", "mistal",
        "./not-there", "not-there.gguf", "",
    ],
)  # fmt: skip
def test_a_wish_that_cannot_be_read_is_wrong_usage(written: str) -> None:
    """With a sentence that names the part."""
    with pytest.raises(UsageError) as refused:
        read_wish(written)
    assert refused.value.exit_code == 2
    assert refused.value.param == "model"


def test_a_directory_is_a_model_too(tmp_path: Path) -> None:
    """Its own config.json tells its shape."""
    folder = tmp_path / "small"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(SMALL), encoding="utf-8")
    wish = read_wish(f"{folder},share=2")
    assert (wish.shape.name, wish.shape.layers, wish.share, wish.max_model_len) == ("small", 4, 2.0, 2048)


def test_narrower_weights_are_tried_from_eight_bits_down() -> None:
    """And never wider ones."""
    assert [each.shape.name for each in narrower(read_wish("llama-2-13b"), engine="vllm")] == [
        "llama-2-13b:int8",
        "llama-2-13b:int4",
    ]
    assert [each.shape.name for each in narrower(read_wish("llama-2-13b:int8"), engine="vllm")] == ["llama-2-13b:int4"]
    assert narrower(read_wish("llama-2-13b:int4"), engine="vllm") == ()


def test_for_llama_cpp_a_known_model_is_its_gguf() -> None:
    """Within 7 % of the published Q4_K_M files: Llama-2-7B 4.08 GB, Mistral-7B 4.37 GB."""
    for name, published in (("llama-2-7b:int4", 4.08e9), ("mistral-7b:int4", 4.37e9)):
        shape = read_wish(name, engine="llama.cpp").shape
        assert (shape.architecture, shape.quantization.method) == ("llama", "gguf")
        assert 1.0 <= shape.weights_bytes / published <= 1.07
