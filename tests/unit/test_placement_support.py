"""What is known to work, by a dated table."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest

from viiwork.placement.catalogue import known_names, shape_named
from viiwork.placement.reading import read_table
from viiwork.placement.shape import Quantization
from viiwork.placement.support import Row, supported

GGUF = Quantization(kind="int4", method="gguf")


@pytest.mark.parametrize("name", ["mistral-7b:int4", "llama-2-13b:int4", "qwen3-8b:int4", "qwen2.5-14b:int8"])
def test_what_people_run_on_these_cards_works(name: str) -> None:
    """GPTQ of a dense Llama or Qwen in the fork's images."""
    found = supported(shape_named(name), engine="vllm-gfx906", version="0.20.1-rocm-6.3.3-aiinfos")
    assert found.answer == "works"
    assert found.as_of >= date(2026, 11, 1)
    assert found.sources


def test_a_model_in_bfloat16_works_as_float16() -> None:
    """The chip has no bfloat16, and the answer says what is done instead."""
    found = supported(shape_named("qwen3-8b"), engine="vllm-gfx906")
    assert found.answer == "works"
    assert "--dtype float16" in found.why


@pytest.mark.parametrize(
    ("quantization", "answer", "said"),
    [
        (Quantization(kind="fp8", method="fp8"), "no", "fp8 in software"),
        (GGUF, "no", "GGUF files are for llama-cpp"),
        (Quantization(kind="int4", method="awq", group_size=128), "works", "AWQ"),
        (Quantization(kind="int4", method="compressed-tensors", group_size=32), "works", "W4A16"),
        (Quantization(kind="int8", method="compressed-tensors"), "unknown", "nothing is known of int8 weights"),
        (Quantization(kind="int4", method="other"), "unknown", "nothing is known of int4 weights"),
    ],
)
def test_the_chip_decides_what_weights_may_be(quantization: Quantization, answer: str, said: str) -> None:
    """Whatever the model."""
    shape = replace(shape_named("llama-3-8b"), quantization=quantization)
    found = supported(shape, engine="vllm-gfx906", version="0.20.1")
    assert (found.answer, said in found.why) == (answer, True), found.why


def test_gemma_2_is_refused_with_the_way_out() -> None:
    """It is made for bfloat16; its GGUF works."""
    found = supported(shape_named("gemma-2-9b:int4"), engine="vllm-gfx906")
    assert found.answer == "no"
    assert "take its GGUF with --engine llama-cpp" in found.why
    gguf = replace(shape_named("gemma-2-9b"), architecture="gemma2", quantization=GGUF)
    assert supported(gguf, engine="llama-cpp", version="b6900").answer == "works"


def test_llama_cpp_reads_gguf_alone() -> None:
    """A directory of safetensors is not for it."""
    found = supported(shape_named("llama-3-8b:int4"), engine="llama-cpp")
    assert (found.answer, "GGUF" in found.why) == ("no", True)


def test_a_release_of_vllm_has_no_kernels_for_this_chip() -> None:
    """The fork is named."""
    found = supported(shape_named("mistral-7b"), engine="vllm")
    assert found.answer == "no"
    assert "take vllm-gfx906" in found.why


@pytest.mark.parametrize(
    ("version", "answer"),
    [("0.12.0", "works"), ("v0.23.1rc0", "works"), ("0.9", "unknown"), ("0.24.0", "unknown"), ("latest", "unknown")],
)
def test_a_version_that_nobody_published_is_unknown(version: str, answer: str) -> None:
    """Whatever follows its numbers; without a version it is not looked at."""
    assert supported(shape_named("mistral-7b"), engine="vllm-gfx906", version=version).answer == answer
    assert supported(shape_named("mistral-7b"), engine="vllm-gfx906").answer == "works"


def test_what_no_row_speaks_of_is_unknown() -> None:
    """Another chip, another engine, another kind of model."""
    shape = shape_named("mistral-7b")
    assert supported(shape, engine="vllm-gfx906", arch="gfx90a").why == "nothing is known of vllm-gfx906 on gfx90a"
    assert supported(shape, engine="my.toml").answer == "unknown"
    odd = replace(shape, architecture="RwkvForCausalLM")
    assert supported(odd, engine="vllm-gfx906").why == "nothing is known of RwkvForCausalLM with vllm-gfx906 on gfx906"


def test_every_model_of_the_catalogue_has_an_answer_with_a_reason() -> None:
    """Mixtral's is unknown, Gemma 2's is no."""
    answers = {name: supported(shape_named(name), engine="vllm-gfx906") for name in known_names()}
    assert all(found.why for found in answers.values())
    assert {name for name, found in answers.items() if found.answer != "works"} == {"gemma-2-9b", "mixtral-8x7b"}


def test_every_row_is_dated_sourced_and_reads_as_a_sentence() -> None:
    """No row is of the future, and a reason is put behind other words."""
    for row in map(Row.model_validate, read_table("support.toml")["row"]):
        assert row.source
        assert row.as_of >= date(2026, 1, 1)
        assert not row.why.endswith(".")
