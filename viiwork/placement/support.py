"""What is known to work: architecture, dtype and quantization x engine x version x chip, by a dated table."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from functools import cache
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from viiwork.placement.reading import read_table
from viiwork.placement.shape import Kind, Method, ModelShape

TABLE = "support.toml"
Answer = Literal["works", "unknown", "no"]
Aspect = Literal["engine", "version", "weights", "architecture"]
WORST = ("no", "unknown", "works")


@dataclass(frozen=True, slots=True)
class Support:
    """What is known, why, and as of when."""

    answer: Answer
    why: str
    as_of: date
    sources: tuple[str, ...] = ()
    """Where it is written: public pages, or one of our own."""


class Row(BaseModel):
    """One row of the table: an empty field matches everything."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    aspect: Aspect
    engines: tuple[str, ...] = ()
    chips: tuple[str, ...] = ()
    kinds: tuple[Kind, ...] = ()
    methods: tuple[Method, ...] = ()
    dtypes: tuple[str, ...] = ()
    architectures: tuple[str, ...] = ()
    since: str = Field(default="", alias="from")
    below: str = ""
    answer: Answer
    why: str
    source: str
    as_of: date


def supported(shape: ModelShape, *, engine: str, version: str = "", arch: str = "gfx906") -> Support:
    """Whether this engine is known to run such a model on this chip: the worst answer of all aspects, with its reason.

    `engine` is a recipe's name; `version` may carry more than numbers (`0.20.1-rocm-6.3.3`), and is not looked at
    where it is empty. What no row speaks of is unknown.
    """
    rows = _rows()
    aspects: tuple[Aspect, ...] = ("engine", "version", "weights", "architecture")
    found = [
        _first(rows, shape, aspect=aspect, engine=engine, version=version, arch=arch)
        for aspect in aspects
        if version or aspect != "version"
    ]
    worst = min(found, key=lambda each: WORST.index(each.answer))
    if worst.answer != "works":
        return worst
    sources = tuple(dict.fromkeys(source for each in found for source in each.sources))
    return Support("works", "; ".join(each.why for each in found), min(each.as_of for each in found), sources)


def _first(rows: Iterable[Row], shape: ModelShape, *, aspect: Aspect, engine: str, version: str, arch: str) -> Support:
    for row in rows:
        if row.aspect == aspect and _matches(row, shape, engine=engine, version=version, arch=arch):
            return Support(row.answer, row.why, row.as_of, (row.source,))
    asked = {
        "engine": f"{engine} on {arch}",
        "version": f"{engine} {version}",
        "weights": f"{shape.quantization.label} weights ({shape.quantization.method or shape.dtype}) with {engine}",
        "architecture": f"{shape.architecture} with {engine} on {arch}",
    }
    return Support("unknown", f"nothing is known of {asked[aspect]}", max(row.as_of for row in rows))


def _matches(row: Row, shape: ModelShape, *, engine: str, version: str, arch: str) -> bool:
    stored = shape.quantization
    asked = (
        (row.engines, engine),
        (row.chips, arch),
        (row.kinds, stored.kind),
        (row.methods, stored.method),
        (row.dtypes, shape.dtype),
        (row.architectures, shape.architecture),
    )
    if any(wanted and given not in wanted for wanted, given in asked):
        return False
    numbers = _numbers(version)
    return (not row.since or numbers >= _numbers(row.since)) and (not row.below or numbers < _numbers(row.below))


def _numbers(version: str) -> tuple[int, ...]:
    """`v0.20.1-rocm-6.3.3` is 0, 20, 1."""
    found = re.match(r"v?(\d+(?:\.\d+)*)", version)
    return tuple(int(part) for part in found[1].split(".")) if found else ()


@cache
def _rows() -> tuple[Row, ...]:
    return tuple(Row.model_validate(row) for row in read_table(TABLE)["row"])
