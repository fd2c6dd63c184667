"""Models that are planned without a download."""

from __future__ import annotations

import pytest

from viiwork.errors import NotFound
from viiwork.placement.catalogue import known_names, like_named, shape_named
from viiwork.placement.reading import read_table
from viiwork.placement.shape import Quantization

PUBLISHED = {
    "gemma-2-9b": 9_241_705_984,
    "llama-2-13b": 13_015_864_320,
    "llama-2-70b": 68_976_648_192,
    "llama-2-7b": 6_738_415_616,
    "llama-3-70b": 70_553_706_496,
    "llama-3-8b": 8_030_261_248,
    "llama-3.1-8b": 8_030_261_248,
    "mistral-7b": 7_241_732_096,
    "mixtral-8x7b": 46_702_792_704,
    "qwen2.5-14b": 14_770_033_664,
    "qwen2.5-7b": 7_615_616_512,
    "qwen3-14b": 14_768_307_200,
    "qwen3-30b-a3b": 30_532_122_624,
    "qwen3-32b": 32_762_123_264,
    "qwen3-8b": 8_190_735_360,
}


def test_every_model_has_as_many_weights_as_its_page_says() -> None:
    """To the last one: a wrong width or count would show."""
    assert {name: shape_named(name).parameters for name in known_names()} == PUBLISHED


def test_every_model_says_where_its_facts_are_from() -> None:
    """A repository, so that anybody can look."""
    for name, table in read_table("catalogue.toml").items():
        assert table["from"].count("/") == 1, name


@pytest.mark.parametrize(
    ("name", "quantization"),
    [
        ("mistral-7b", Quantization()),
        ("mistral-7b:fp16", Quantization()),
        ("mistral-7b:int8", Quantization(kind="int8", method="gptq", group_size=128)),
        ("mistral-7b:int4", Quantization(kind="int4", method="gptq", group_size=128)),
    ],
)
def test_a_precision_follows_a_colon(name: str, quantization: Quantization) -> None:
    """16 bits without one; the shape bears the name that was given."""
    shape = shape_named(name)
    assert shape.quantization == quantization
    assert shape.name == name


def test_an_unknown_name_is_answered_with_those_that_are_near() -> None:
    """A typing error is one line."""
    with pytest.raises(NotFound) as caught:
        shape_named("Mistral7b")
    assert str(caught.value) == ("The catalogue has no model 'Mistral7b'. Near it are mistral-7b, mixtral-8x7b.")


def test_a_name_that_is_like_none_is_answered_with_all() -> None:
    """So that nobody has to guess."""
    with pytest.raises(NotFound, match=r"There are gemma-2-9b, .*, qwen3-8b\."):
        shape_named("x")


def test_an_unknown_precision_is_answered_with_those_there_are() -> None:
    """Three bits are in no catalogue."""
    with pytest.raises(NotFound) as caught:
        shape_named("mistral-7b:int3")
    assert caught.value.hint == "There are mistral-7b:fp16, mistral-7b:int8, mistral-7b:int4."


@pytest.mark.parametrize(
    ("repo", "name"),
    [
        ("mistralai/Mistral-7B-Instruct-v0.3", "mistral-7b"), ("meta-llama/Llama-2-7b-chat-hf", "llama-2-7b"),
        ("Qwen/Qwen3-8B-AWQ", "qwen3-8b:int4"), ("Qwen/Qwen2.5-14B-Instruct-GPTQ-Int8", "qwen2.5-14b:int8"),
        ("meta-llama/Llama-3.1-8B-Instruct", "llama-3.1-8b"), ("Qwen/Qwen3-30B-A3B-GPTQ-Int4", "qwen3-30b-a3b:int4"),
        ("org/never-pulled", ""), ("Qwen/Qwen2.5-72B-Instruct", ""), ("TheBloke/CodeLlama-2-7bit", ""), ("", ""),
    ],
)  # fmt: skip
def test_a_hubs_repository_has_a_name_here_if_its_shape_is_known(repo: str, name: str) -> None:
    """Words are compared, not parts of them; what its name says of its weights counts."""
    assert like_named(repo) == name
