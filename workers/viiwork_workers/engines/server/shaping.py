"""How each engine is held to a shape: its own words for a schema, a pattern, a list of choices. Pure."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Literal

from viiwork.errors import JobRefused
from viiwork.recipes.recipe import Dialect
from viiwork.work import ChatInput, CompletionInput, Shape

Endpoint = Literal["chat", "completion", "embedding"]
Words = dict[str, Any]
NAMES: dict[Dialect, str] = {
    "openai": "this server",
    "vllm": "vLLM",
    "llama.cpp": "llama.cpp",
    "tgi": "Text Generation Inference",
    "mlc": "MLC-LLM",
}
ANY_OBJECT: Words = {"type": "object"}
_SPECIAL = frozenset(r".^$*+?{}[]\|()")
_ESCAPES = {'"': r"\"", "\\": r"\\", "\n": r"\n", "\r": r"\r", "\t": r"\t"}


def shaped(work: ChatInput | CompletionInput, dialect: Dialect) -> Words:
    """The fields that hold the engine to the work's shape. Raises JobRefused when it has none for it."""
    shape = work.shape or Shape()
    if isinstance(work, ChatInput) and work.tools and dialect in _NO_TOOLS_BESIDE:
        raise _cannot(dialect, "a shape beside tools")
    words = WORDS.get((dialect, work.kind))
    said = words(shape) if words is not None else None
    if said is None:
        raise _cannot(dialect, f"{_kind(shape)} for a {work.kind}")
    return said


_NO_TOOLS_BESIDE: tuple[Dialect, ...] = ("tgi", "llama.cpp")
"""TGI: "Grammar and tools are mutually exclusive"; llama.cpp: "Cannot specify grammar with tools"."""


def _openai(shape: Shape) -> Words | None:
    """platform.openai.com/docs/guides/structured-outputs; without `strict`, which forbids half of JSON Schema."""
    if shape.json_schema is not None:
        return {
            "response_format": {"type": "json_schema", "json_schema": {"name": "answer", "schema": shape.json_schema}}
        }
    return {"response_format": {"type": "json_object"}} if shape.json_object else None


def _vllm(shape: Shape) -> Words | None:
    """docs.vllm.ai/en/stable/features/structured_outputs; `guided_json` and its like are ignored since 0.12."""
    if shape.regex is not None:
        return {"structured_outputs": {"regex": shape.regex}}
    if shape.choice:
        return {"structured_outputs": {"choice": list(shape.choice)}}
    return _openai(shape)


def _llama_chat(shape: Shape) -> Words | None:
    """tools/server/README.md: response_format and GBNF, no regular expressions.

    The flat `{"type": "json_schema", "schema": ...}` of that page is not read by server-common.cpp; OpenAI's is.
    """
    if shape.choice:
        return {"grammar": "root ::= " + " | ".join(_gbnf(one) for one in shape.choice)}
    return _openai(shape)


def _llama_completion(shape: Shape) -> Words | None:
    """The same page: `json_schema` and `grammar` of /completion; response_format belongs to the chat."""
    if shape.choice:
        return _llama_chat(shape)
    schema = ANY_OBJECT if shape.json_object else shape.json_schema
    return {"json_schema": schema} if schema is not None else None


def _tgi_chat(shape: Shape) -> Words | None:
    """router/src/lib.rs `GrammarType`; validation.rs: a schema without `properties` is refused, so no bare object."""
    if shape.choice:
        return _grammar("regex", "|".join(f"({_literal(one)})" for one in shape.choice))
    if shape.regex is not None:
        return _grammar("regex", shape.regex)
    if shape.json_schema is None or "properties" not in shape.json_schema:
        return None
    return _grammar("json", shape.json_schema)


def _mlc(shape: Shape) -> Words | None:
    """python/mlc_llm/protocol/openai_api_protocol.py `RequestResponseFormat`: the schema is a string."""
    if shape.json_schema is not None:
        return {"response_format": {"type": "json_object", "schema": json.dumps(shape.json_schema)}}
    return {"response_format": {"type": "json_object"}} if shape.json_object else None


WORDS: dict[tuple[Dialect, Endpoint], Callable[[Shape], Words | None]] = {
    ("openai", "chat"): _openai,
    ("vllm", "chat"): _vllm,
    ("vllm", "completion"): _vllm,
    ("llama.cpp", "chat"): _llama_chat,
    ("llama.cpp", "completion"): _llama_completion,
    ("tgi", "chat"): _tgi_chat,
    ("mlc", "chat"): _mlc,
    ("mlc", "completion"): _mlc,
}
"""OpenAI's and TGI's completions know no shape (TGI, server.rs `completions`: `grammar: None`)."""


def _grammar(kind: str, value: object) -> Words:
    return {"response_format": {"type": kind, "value": value}}


def _gbnf(choice: str) -> str:
    """A literal of llama.cpp's grammars (grammars/README.md)."""
    said = (_ESCAPES.get(one) or (one if one >= " " else f"\\x{ord(one):02x}") for one in choice)
    return f'"{"".join(said)}"'


def _literal(choice: str) -> str:
    return "".join(f"\\{character}" if character in _SPECIAL else character for character in choice)


def _kind(shape: Shape) -> str:
    if shape.json_schema is not None:
        return "a JSON schema"
    return "a JSON object" if shape.json_object else "a regular expression" if shape.regex is not None else "a choice"


def _cannot(dialect: Dialect, what: str) -> JobRefused:
    return JobRefused(
        f"{NAMES[dialect]} cannot be held to {what}.",
        hint="Ask a model that vLLM serves, or leave the shape out.",
        code="unsupported_shape",
        param="shape",
    )
