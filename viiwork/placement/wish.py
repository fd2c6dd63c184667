"""A model that is wanted, and how much of it: `mistral-7b:int4,share=2,replicas=2`, or a path to its files."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from viiwork.errors import ModelError, NotFound, UsageError
from viiwork.placement.catalogue import PRECISIONS, known_names, like_named, shape_named
from viiwork.placement.reading import read_shape
from viiwork.placement.shape import Kind, ModelShape, Quantization
from viiwork.placement.split import Server

CONTEXT_TOKENS = 8192
"""What a request may be long, where nobody says and the model can."""
SEQUENCES = 16
MOST_REPLICAS = 64
OPTION = re.compile(r",(share|replicas|context)=([^,]*)")
NARROWER: dict[Kind, tuple[Kind, ...]] = {"none": ("int8", "int4"), "fp8": ("int8", "int4"), "int8": ("int4",)}
GGUF_GROUP = 32
"""Weights that share a scale in GGUF's Q8_0, Q4_0 and Q4_1. With embeddings in 16 bits it comes to 5 % more than
published Q4_K_M files of Llama-2-7B and Mistral-7B have."""
GGUF_NAMES = {
    "LlamaForCausalLM": "llama",
    "MistralForCausalLM": "llama",
    "MixtralForCausalLM": "llama",
    "Qwen2ForCausalLM": "qwen2",
    "Qwen3ForCausalLM": "qwen3",
    "Qwen3MoeForCausalLM": "qwen3moe",
    "Gemma2ForCausalLM": "gemma2",
}
"""What llama.cpp calls them. Source: its `convert_hf_to_gguf.py`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """One model that shall be served."""

    shape: ModelShape
    share: float = 1.0
    """Of the demand, beside the shares of the others."""
    replicas: int = 1
    """At least so many."""
    context_tokens: int = 0
    """The longest request (`max_model_len`); 0 is 8,192, or what the model can if that is less."""
    sequences: int = SEQUENCES
    """Requests at once in one engine at most (`max_num_seqs`)."""
    catalogued: bool = False
    """Whether its name is of the catalogue, so that narrower weights are another name."""

    @property
    def max_model_len(self) -> int:
        """The longest request."""
        return self.context_tokens or min(CONTEXT_TOKENS, self.shape.max_position_embeddings or CONTEXT_TOKENS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """`mistral-7b:int4,share=2,replicas=2` taken apart."""

    name: str
    share: float
    replicas: int
    context_tokens: int | None
    plain: bool
    """Nothing but a name was written."""


def path_of(name: str) -> Path:
    """A directory or file that is there. Raises NotFound."""
    path = Path(name).expanduser()
    if not name or not path.exists():
        raise NotFound(f"there is no file or directory '{name}'.", hint="Check the path.", param="model")
    return path


def read_wish(
    written: str,
    *,
    engine: Server = "vllm",
    context_tokens: int = 0,
    sequences: int = SEQUENCES,
    locate: Callable[[str], Path] = path_of,
) -> Wish:
    """A model of the catalogue, else what `locate` finds; `,share=`, `,replicas=` and `,context=` may follow.

    Raises UsageError that names what is wrong with it.
    """
    asked = asked_for(written)
    return Wish(
        shape=shape_of(asked.name, engine=engine, locate=locate),
        share=asked.share,
        replicas=asked.replicas,
        context_tokens=context_tokens if asked.context_tokens is None else asked.context_tokens,
        sequences=sequences,
        catalogued=catalogued(asked.name),
    )


def catalogued(name: str) -> bool:
    """Whether it is a name of the catalogue, with or without a precision."""
    return name.partition(":")[0] in known_names()


def asked_for(written: str) -> Asked:
    """A model's name, and what follows it. Raises UsageError."""
    options = {key: value.strip() for key, value in OPTION.findall(written)}
    return Asked(
        name=OPTION.sub("", written).strip(),
        share=_number("share", options.get("share", "1"), least=0.001, most=1000),
        replicas=_count("replicas", options.get("replicas", "1"), least=1, most=MOST_REPLICAS),
        context_tokens=_count("context", options["context"], least=0, most=2**31) if "context" in options else None,
        plain=not options,
    )


def narrower(wish: Wish, *, engine: Server) -> tuple[Wish, ...]:
    """The same with smaller weights, the least narrow first; none where they are small, or their kind is not known."""
    shape = wish.shape
    base = shape.name.removesuffix(f":{shape.quantization.label}")
    return tuple(
        replace(wish, shape=replace(shape, name=f"{base}:{kind}", quantization=_stored(kind, engine), file_bytes=0))
        for kind in NARROWER.get(shape.quantization.kind, ())
    )


def worded(narrow: Wish) -> str:
    """How such weights are asked for: a model of the catalogue by another name; one's own needs other files."""
    return f"as --model {narrow.shape.name}" if narrow.catalogued else f"with {narrow.shape.quantization.label} weights"


def shape_of(name: str, *, engine: Server, locate: Callable[[str], Path]) -> ModelShape:
    """Of a model of the catalogue, else of what `locate` finds. Raises UsageError that names what is wrong with it."""
    if not catalogued(name) and (path := _located(name, locate)) is not None:
        try:
            return read_shape(path, name="" if Path(name).expanduser().exists() else name)
        except ModelError as error:
            raise UsageError(error.message, hint=error.hint, param="model") from error
    found = shape_named(name)
    if engine == "vllm":
        return found
    named = GGUF_NAMES.get(found.architecture, found.architecture)
    return replace(found, architecture=named, quantization=_stored(found.quantization.kind, engine))


def _located(name: str, locate: Callable[[str], Path]) -> Path | None:
    """None for what is neither there nor looks like a path: it may be a misspelt name of the catalogue."""
    try:
        return locate(name)
    except UsageError as error:
        if "/" in name or name.endswith(".gguf"):
            raise UsageError(error.message, hint=_or_without_files(name, error.hint), param="model") from error
        return None


def _or_without_files(name: str, hint: str) -> str:
    """Also how to plan for a model of a hub that was not fetched."""
    like = "" if name.startswith((".", "/", "~")) else like_named(name)
    return f"{hint.rstrip('.')}; or plan it without its files: --model {like}" if like else hint


def _stored(kind: Kind, engine: Server) -> Quantization:
    """As such weights are usually published for that engine."""
    if engine == "vllm":
        return PRECISIONS["fp16" if kind == "none" else kind]
    return Quantization(kind=kind, method="gguf", group_size=0 if kind == "none" else GGUF_GROUP)


def _number(key: str, written: str, *, least: float, most: float) -> float:
    try:
        value = float(written)
    except ValueError:
        value = math.nan
    if not least <= value <= most:
        raise UsageError(f"{key}={written} cannot be.", hint=f"A number from {least:g} to {most:,.0f}.", param="model")
    return value


def _count(key: str, written: str, *, least: int, most: int) -> int:
    value = _number(key, written, least=least, most=most)
    if value != int(value):
        raise UsageError(f"{key}={written} is no whole number.", param="model")
    return int(value)
