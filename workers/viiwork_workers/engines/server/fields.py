"""The fields of an engine's answer, each read as the API says or found to be garbled. Pure."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from viiwork.work import Usage

FINISHES = {
    "stop": "stop",
    "length": "length",
    "tool_calls": "tool_calls",
    # TGI's names, and the one that OpenAI has given up
    "eos_token": "stop",
    "stop_sequence": "stop",
    "function_call": "tool_calls",
}
"""Any other reason (`abort`, `error`, `preempt`, `content_filter`) means that the answer is not what was asked for."""
NOTHING_COUNTED = Usage()
MOST_TOKENS = 10_000_000
"""Of one request. A count above it is no count, and the sum of many such would be too large for Redis."""
LEAST_LOGPROB = -9999.0
"""How the OpenAI API says minus infinity, which JSON cannot."""
OTHERWISE = (TypeError, ValueError, AttributeError, LookupError, ArithmeticError, RecursionError)
"""What comes of reading an answer that has another form than the API says."""


class Garbled(Exception):
    """Raised when an engine's answer is not what the API says: its message quotes nothing of it."""


class Reported(Exception):
    """Raised when an answer that began well carries an error instead of its end: `said`, which may quote the prompt."""

    def __init__(self, said: object) -> None:
        super().__init__()
        self.said = said


@contextmanager
def as_the_api_says() -> Iterator[None]:
    """An engine that answers garbage is at fault, and neither the job nor this code."""
    try:
        yield
    except OTHERWISE as error:
        raise Garbled("it has another form than the API says") from error


def is_error(said: Mapping[str, Any]) -> bool:
    """`"error": null` beside an answer is none."""
    return said.get("error") is not None or said.get("object") == "error"


def listed(calls: Any) -> list[Any]:
    """TGI sends one object where the API has a list."""
    return [calls] if isinstance(calls, dict) else list(calls or ())


def choice_of(choices: object) -> dict[str, Any]:
    """The only choice that is asked for."""
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        raise Garbled("its answer has no choices")
    return choices[0]


def finish_of(reason: object) -> str:
    """Why it ended, in the words of the OpenAI API."""
    if reason not in FINISHES:
        raise Garbled("it gave its answer up before the end")
    return FINISHES[str(reason)]


def text_of(text: object) -> str:
    """A text that a record can hold."""
    if not isinstance(text, str):
        raise Garbled("its text is no text")
    if text.isascii():
        return text
    # half a character, as a JSON escape can bring it: no record could hold it
    return text.encode("utf-8", "surrogatepass").decode("utf-8", "replace")


def usage_of(usage: object) -> Usage:
    """The tokens that it counted; none where it says nothing that could be true."""
    if not isinstance(usage, dict):
        return NOTHING_COUNTED
    taken, given = _count(usage.get("prompt_tokens")), _count(usage.get("completion_tokens"))
    return Usage(prompt_tokens=taken, output_tokens=given)


def _count(said: object) -> int:
    if not isinstance(said, int) or isinstance(said, bool):
        return 0
    return min(max(0, said), MOST_TOKENS)


def joined(before: dict[str, Any], more: object) -> dict[str, Any]:
    """Log probabilities of one more piece: `content` of a chat, parallel lists of a completion."""
    if not isinstance(more, dict):
        raise Garbled("its log probabilities are no object")
    for name, values in more.items():
        if isinstance(values, list) and isinstance(before.get(name), list):
            before[name] += values
        elif values is not None or name not in before:
            before[name] = values
    return before


def probable(said: object) -> dict[str, Any] | None:
    """Log probabilities that a record can hold: a look in C first, for there may be a hundred thousand of them."""
    if not said:
        return None
    if not isinstance(said, dict):
        raise Garbled("its log probabilities are no object")
    try:
        json.dumps(said, ensure_ascii=False, allow_nan=False).encode()
    except ValueError:  # a number that is none, or half a character
        return {text_of(name): _clean(value) for name, value in said.items()}
    return said


def _clean(value: Any) -> Any:
    if isinstance(value, str):
        return text_of(value)
    if isinstance(value, list):
        return [_clean(one) for one in value]
    if isinstance(value, dict):
        return {text_of(name): _clean(one) for name, one in value.items()}
    if not isinstance(value, float) or math.isfinite(value):
        return value
    if value != -math.inf:
        raise Garbled("its log probabilities are no numbers")
    return LEAST_LOGPROB


def call_of(call: Mapping[str, Any]) -> dict[str, Any]:
    """A tool call as the API has it; its `arguments` may have come in pieces."""
    said = call.get("arguments") or ""
    parts = said if isinstance(said, list) else [said]
    return {
        "id": text_of(str(call.get("id") or "")),
        "type": "function",
        "function": {"name": text_of(call.get("name") or ""), "arguments": "".join(map(_arguments, parts))},
    }


def _arguments(said: object) -> str:
    """TGI and others send an object where the API has JSON in a string."""
    return text_of(json.dumps(said, ensure_ascii=False, allow_nan=False) if isinstance(said, dict) else said)


def vectors_of(data: object, texts: int) -> tuple[tuple[float, ...], ...]:
    """A vector for each text, in the order of the texts."""
    rows = data if isinstance(data, list) else []
    if len(rows) != texts:
        raise Garbled(f"it made {len(rows)} embeddings of {texts} texts")
    rows = sorted(rows, key=lambda row: int(row["index"]))
    if [row["index"] for row in rows] != list(range(texts)):
        raise Garbled("its embeddings are not one for each text")
    vectors = tuple(tuple(map(float, row["embedding"])) for row in rows)
    if len({len(vector) for vector in vectors}) != 1 or not vectors[0]:
        raise Garbled("its embeddings are not all of one length")
    if not all(all(map(math.isfinite, vector)) for vector in vectors):
        raise Garbled("its embeddings are no numbers")
    return vectors
