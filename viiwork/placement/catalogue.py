"""Models whose shape is known without a download, by short names: `mistral-7b`, `qwen3-8b:int4`."""

from __future__ import annotations

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
        raise NotFound(f"The catalogue has no model '{model}'.", hint=hint, param="model")
    if (precision or "fp16") not in PRECISIONS:
        given = ", ".join(f"{model}:{each}" for each in PRECISIONS)
        raise NotFound(f"'{precision}' is no precision of the catalogue.", hint=f"There are {given}.", param="model")
    found = shape_of_config(_table()[model], name=name, source=f"{TABLE}, {model}")
    return replace(found, quantization=PRECISIONS[precision or "fp16"])


@cache
def _table() -> dict[str, dict[str, Any]]:
    return read_table(TABLE)
