"""Whether an answer has the shape that was asked for. The engine was held to it; this is the proof."""

from __future__ import annotations

import asyncio
import json
import math
from typing import Any

import jsonschema_rs

from viiwork.documents.shapes import pattern_of, validator_of
from viiwork.errors import JobRefused, UsageError
from viiwork.work import Shape

MATCH_S = 0.5
LONG_CHARACTERS = 65_536
MOST_LEVELS = 100
"""Records are read again by a parser that goes 200 levels deep, and a value stands some way down in them."""


async def held(shape: Shape, text: str, *, finish_reason: str) -> Any:
    """The answer as JSON where the shape is JSON, else None. Raises JobRefused when it does not have the shape."""
    if shape.regex is not None or len(text) > LONG_CHARACTERS:
        return await asyncio.to_thread(held_now, shape, text, finish_reason=finish_reason)
    return held_now(shape, text, finish_reason=finish_reason)


def held_now(shape: Shape, text: str, *, finish_reason: str) -> Any:
    """The same, on this thread."""
    try:
        return _value(shape, text)
    except Missed as missed:
        hint = "Try other words, or a simpler shape."
        if finish_reason == "length":
            hint = "It was cut off: raise max_output_tokens (--max-tokens)."
        raise JobRefused(f"the answer {missed}.", hint=hint, code="invalid_output") from missed
    except UsageError as error:
        raise JobRefused(f"{error.param}: {error.message}", hint=error.hint, code=error.code) from error


class Missed(Exception):
    """Raised when the answer does not have the shape. Quotes the shape, never the answer."""


def _value(shape: Shape, text: str) -> Any:
    if shape.json_schema is not None:
        return _by_schema(shape.json_schema, _json(text))
    if shape.json_object:
        value = _json(text)
        if not isinstance(value, dict):
            raise Missed("is JSON, but no object")
        return value
    if shape.regex is not None:
        _match(shape.regex, text)
    elif text not in shape.choice:
        raise Missed("is none of the choices")
    return None


def _json(text: str) -> Any:
    try:
        value = json.loads(text, parse_constant=_no_constant, parse_float=_finite)
        if "\\u" in text:
            json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise Missed("has half a character in its JSON") from error
    except OverflowError as error:
        raise Missed("is JSON with a number that is too large") from error
    except (ValueError, RecursionError) as error:
        raise Missed("is no JSON") from error
    if text.count("[") + text.count("{") > MOST_LEVELS and _deep(value):
        raise Missed(f"is JSON of more than {MOST_LEVELS} levels")
    return value


def _deep(value: Any) -> bool:
    level: list[Any] = [[value]]
    for _ in range(MOST_LEVELS + 1):
        within = (one.values() if isinstance(one, dict) else one for one in level)
        level = [below for some in within for below in some if isinstance(below, dict | list)]
        if not level:
            return False
    return True


def _no_constant(name: str) -> None:
    raise ValueError(name)  # NaN and Infinity are Python's, not JSON's


def _finite(number: str) -> float:
    if not math.isfinite(value := float(number)):
        raise OverflowError(number)  # 1e999: JSON, but no number that JSON could say again
    return value


def _by_schema(schema: dict[str, Any], value: Any) -> Any:
    validator = validator_of(schema)
    try:
        validator.validate(value)
    except jsonschema_rs.ValidationError as error:
        place = "/".join(map(str, error.schema_path))
        raise Missed(f"does not match the schema at /{place}") from error
    except ValueError as error:  # nested deeper than the validator goes
        raise Missed("cannot be checked against the schema") from error
    return value


def _match(pattern: str, text: str) -> None:
    try:
        if pattern_of(pattern).fullmatch(text, timeout=MATCH_S, concurrent=True) is None:
            raise Missed("does not match the pattern")
    except TimeoutError as error:
        raise Missed(f"takes more than {MATCH_S:g} s to match with the pattern") from error
