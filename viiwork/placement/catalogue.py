"""Models whose shape is known without a download, by short names: `mistral-7b`, `qwen3-8b:int4`."""

from __future__ import annotations

import re
from dataclasses import replace
from difflib import get_close_matches
from functools import cache
from typing import Any

from viiwork.errors import NotFound
from viiwork.placement.config import shape_of_config
from viiwork.placement.reading import read_table
from viiwork.placement.shape import ModelShape, Quantization

TABLE = "catalogue.toml"
PRECISIONS = {
    "fp16": Quantization(),
    "int8": Quantization(kind="int8", method="gptq", group_size=128),
    "int4": Quantization(kind="int4", method="gptq", group_size=128),
}
"""What may follow a name after a colon: the groups of 128 are those in which nearly all such models are published."""
WORD = re.compile(r"[a-z0-9.]+")
STORED = {"int8": ("int8", "8bit", "w8a16", "w8a8"), "int4": ("int4", "4bit", "w4a16", "awq", "gptq")}
"""What the names of repositories say of their weights; `GPTQ-Int8` has eight bits."""


def known_names() -> tuple[str, ...]:
    """The names of the catalogue, without precisions."""
    return tuple(sorted(_table()))


def shape_named(name: str) -> ModelShape:
    """The shape of `mistral-7b`, `mistral-7b:int4`, … ; its `name` is the one given.

    Raises NotFound that lists the names that are near.
    """
    model, _, precision = name.partition(":")
    if model not in _table():
        near = get_close_matches(model.lower(), known_names(), n=3, cutoff=0.5)
        hint = f"Near it are {', '.join(near)}." if near else f"There are {', '.join(known_names())}."
        like = like_named(name)
        hint = f"Its name there is {like}." if like else hint
        raise NotFound(f"The catalogue has no model '{model}'.", hint=hint, param="model")
    if (precision or "fp16") not in PRECISIONS:
        given = ", ".join(f"{model}:{each}" for each in PRECISIONS)
        raise NotFound(f"'{precision}' is no precision of the catalogue.", hint=f"There are {given}.", param="model")
    found = shape_of_config(_table()[model], name=name, source=f"{TABLE}, {model}")
    return replace(found, quantization=PRECISIONS[precision or "fp16"])


def like_named(repo: str) -> str:
    """The name here of a hub's repository, with the precision that its own name tells; empty where there is none.

    `mistralai/Mistral-7B-Instruct-v0.3` is `mistral-7b`, `Qwen/Qwen3-8B-AWQ` is `qwen3-8b:int4`.
    """
    words = "-".join(["", *WORD.findall(repo.rpartition("/")[2].lower()), ""])
    models = [name for name in known_names() if f"-{name}-" in words]
    stored = [kind for kind, words_of in STORED.items() if any(f"-{word}-" in words for word in words_of)]
    return ":".join([max(models, key=len), *stored[:1]]) if models else ""


@cache
def _table() -> dict[str, dict[str, Any]]:
    return read_table(TABLE)
