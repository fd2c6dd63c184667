"""What an answer may be asked to look like: refused at the door when nobody could check it. Pure.

Everything here is bounded, because shapes come from strangers and are checked with the interpreter's lock held:
a tower of 26 references to the one below, twice each, kept a validator busy for a second, and each further level
doubles that.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import jsonschema_rs
import regex

from viiwork.documents.regexsize import Unweighed, weight
from viiwork.documents.schemasize import SCHEMA, check_size, no_number, refusal
from viiwork.work import Shape

MAX_SCHEMA_BYTES = 65_536
MAX_REGEX_CHARACTERS = 4_096
MAX_REGEX_WEIGHT = 10_000
"""Such a pattern takes 25 ms to compile."""
MAX_CHOICES = 256
TYPES = ("string", "number", "integer", "boolean", "object", "array", "null")
MAX_CHOICE_CHARACTERS = 1_024
_UNSET: tuple[object, ...] = (None, False, ())
_PATTERNS = jsonschema_rs.FancyRegexOptions(backtrack_limit=100_000, size_limit=1 << 20)


def check_shape(shape: Shape) -> None:
    """Raises UsageError for a shape that no answer could be checked against; its `param` is the place in the shape,
    such as `json_schema.properties.total`."""
    asked = [name for name in (SCHEMA, "json_object", "regex", "choice") if getattr(shape, name) not in _UNSET]
    if len(asked) != 1:
        said = " and ".join(asked) or "none of them"
        raise refusal(f"a shape is one of json_schema, json_object, regex and choice, not {said}", "shape")
    if shape.json_schema is not None:
        validator_of(shape.json_schema)
    if shape.regex is not None:
        pattern_of(shape.regex)
    _check_choice(shape.choice)


def validator_of(schema: Mapping[str, Any]) -> jsonschema_rs.Validator:
    """The compiled schema, kept for the next job of the same batch. Raises UsageError naming the place."""
    text = _text_of(schema)
    if len(text) > MAX_SCHEMA_BYTES:
        raise refusal(f"the schema has {len(text):,} bytes; {MAX_SCHEMA_BYTES:,} are allowed", SCHEMA)
    return _compiled(text)


def pattern_of(pattern: str) -> regex.Pattern[str]:
    """The compiled pattern, kept for the next job of the same batch. Raises UsageError."""
    if len(pattern) > MAX_REGEX_CHARACTERS:
        raise refusal(f"the pattern has {len(pattern):,} characters; {MAX_REGEX_CHARACTERS:,} are allowed", "regex")
    return _pattern(pattern)


@lru_cache(maxsize=16)
def _pattern(pattern: str) -> regex.Pattern[str]:
    try:
        if weight(pattern) > MAX_REGEX_WEIGHT:
            raise refusal("the pattern's counted repetitions multiply to too much", "regex")
        return regex.compile(pattern, cache_pattern=False)  # the library's own cache keeps 500, of 4 MiB each
    except Unweighed as error:
        said = f"the pattern is not understood from character {error.at} on; comments, recursion, an unescaped ["
        raise refusal(f"{said} in a class, and flags besides a, i, m, s and u are not taken", "regex") from error
    except (regex.error, ValueError, RecursionError, OverflowError) as error:
        where = f" (at character {error.pos})" if isinstance(error, regex.error) and error.pos is not None else ""
        raise refusal(f"the pattern is no regular expression{where}", "regex") from error


def _text_of(schema: Mapping[str, Any]) -> str:
    try:
        return json.dumps(schema, separators=(",", ":"), allow_nan=False)
    except RecursionError as error:
        raise refusal("the schema is nested too deep", SCHEMA) from error
    except ValueError as error:
        raise refusal("JSON has no such number", SCHEMA, *(no_number(schema) or ())) from error


def _check_choice(choice: tuple[str, ...]) -> None:
    if len(choice) > MAX_CHOICES:
        raise refusal(f"there are {len(choice):,} choices; {MAX_CHOICES} are allowed", "choice")
    for number, one in enumerate(choice):
        if not 1 <= len(one) <= MAX_CHOICE_CHARACTERS:
            said = f"a choice has 1 to {MAX_CHOICE_CHARACTERS:,} characters, not {len(one):,}"
            raise refusal(said, "choice", number)
    if len(set(choice)) != len(choice):
        raise refusal("two choices are the same", "choice")


@lru_cache(maxsize=64)
def _compiled(text: str) -> jsonschema_rs.Validator:
    schema = json.loads(text)
    try:
        check_size(schema)
        # offline: what a schema names must be inside it; nothing is fetched, no file is read
        return jsonschema_rs.validator_for(schema, offline=True, pattern_options=_PATTERNS)
    except jsonschema_rs.ValidationError as error:
        if isinstance(error.kind, jsonschema_rs.ValidationErrorKind.Referencing):
            raise refusal("a $ref or $schema in it names what is not there", SCHEMA) from error
        said = "this is not valid in a JSON schema"
        if error.instance_path and error.instance_path[-1] == "type":
            said = f"{said}; a type is {', '.join(TYPES)}, or a list of them"
        raise refusal(said, SCHEMA, *error.instance_path) from error
    except (ValueError, RecursionError) as error:
        raise refusal("no validator can be made of the schema", SCHEMA) from error
