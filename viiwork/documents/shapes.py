"""What an answer may be asked to look like: refused at the door when nobody could check it. Pure.

Everything here is bounded, because shapes come from strangers and are checked with the interpreter's lock held:
a tower of 26 references to the one below, twice each, kept a validator busy for a second, and each further level
doubles that.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any
from urllib.parse import unquote

import jsonschema_rs
import regex

from viiwork.documents.regexsize import weight
from viiwork.errors import UsageError
from viiwork.work import Shape

MAX_SCHEMA_BYTES = 65_536
MAX_SCHEMA_DEPTH = 64
MAX_UNFOLDED = 50_000
"""Subschemas once every reference is written out."""
MAX_REGEX_CHARACTERS = 4_096
MAX_REGEX_WEIGHT = 20_000
MAX_CHOICES = 256
MAX_CHOICE_CHARACTERS = 1_024
SCHEMA = "json_schema"
ELSEWHERE = ("$dynamicRef", "$recursiveRef")
_UNSET: tuple[object, ...] = (None, False, ())
_PATTERNS = jsonschema_rs.FancyRegexOptions(backtrack_limit=100_000, size_limit=1 << 20)


def check_shape(shape: Shape) -> None:
    """Raises UsageError for a shape that no answer could be checked against; its `param` is the place in the shape,
    such as `json_schema.properties.total`."""
    asked = [name for name in (SCHEMA, "json_object", "regex", "choice") if getattr(shape, name) not in _UNSET]
    if len(asked) != 1:
        said = " and ".join(asked) or "none of them"
        raise _refusal(f"a shape is one of json_schema, json_object, regex and choice, not {said}", "shape")
    if shape.json_schema is not None:
        validator_of(shape.json_schema)
    if shape.regex is not None:
        pattern_of(shape.regex)
    _check_choice(shape.choice)


def validator_of(schema: Mapping[str, Any]) -> jsonschema_rs.Validator:
    """The compiled schema, kept for the next job of the same batch. Raises UsageError naming the place."""
    _check_depth(schema)
    text = json.dumps(schema, separators=(",", ":"))
    if len(text) > MAX_SCHEMA_BYTES:
        raise _refusal(f"the schema has {len(text):,} bytes; {MAX_SCHEMA_BYTES:,} are allowed", SCHEMA)
    return _compiled(text)


def pattern_of(pattern: str) -> regex.Pattern[str]:
    """The compiled pattern. Raises UsageError."""
    if len(pattern) > MAX_REGEX_CHARACTERS:
        raise _refusal(f"the pattern has {len(pattern):,} characters; {MAX_REGEX_CHARACTERS:,} are allowed", "regex")
    if weight(pattern) > MAX_REGEX_WEIGHT:
        raise _refusal("the pattern's counted repetitions multiply to too much", "regex")
    try:
        return regex.compile(pattern)
    except (regex.error, RecursionError, OverflowError) as error:
        where = f" (at character {error.pos})" if isinstance(error, regex.error) and error.pos is not None else ""
        raise _refusal(f"the pattern is no regular expression{where}", "regex") from error


def _check_choice(choice: tuple[str, ...]) -> None:
    if len(choice) > MAX_CHOICES:
        raise _refusal(f"there are {len(choice):,} choices; {MAX_CHOICES} are allowed", "choice")
    for number, one in enumerate(choice):
        if not 1 <= len(one) <= MAX_CHOICE_CHARACTERS:
            said = f"a choice has 1 to {MAX_CHOICE_CHARACTERS:,} characters, not {len(one):,}"
            raise _refusal(said, "choice", number)
    if len(set(choice)) != len(choice):
        raise _refusal("two choices are the same", "choice")


@lru_cache(maxsize=64)
def _compiled(text: str) -> jsonschema_rs.Validator:
    schema = json.loads(text)
    try:
        _check_references(schema)
        # offline: what a schema names must be inside it; nothing is fetched, no file is read
        return jsonschema_rs.validator_for(schema, offline=True, pattern_options=_PATTERNS)
    except jsonschema_rs.ValidationError as error:
        if isinstance(error.kind, jsonschema_rs.ValidationErrorKind.Referencing):
            raise _refusal("a $ref or $schema in it names what is not there", SCHEMA) from error
        raise _refusal("this is not valid in a JSON schema", SCHEMA, *error.instance_path) from error
    except (ValueError, RecursionError) as error:
        raise _refusal("no validator can be made of the schema", SCHEMA) from error


def _check_depth(schema: object) -> None:
    level: list[object] = [schema]
    for _ in range(MAX_SCHEMA_DEPTH):
        level = [below for one in level for _, below in _named(one)]
        if not level:
            return
    raise _refusal(f"the schema is nested more than {MAX_SCHEMA_DEPTH} deep", SCHEMA)


def _check_references(schema: Any) -> None:
    """Raises UsageError for references out of the schema, and for those that multiply to too much."""
    sizes: dict[str, int] = {}

    def unfolded(node: object, path: tuple[str, ...]) -> int:
        total = 1 + (target(node, path) if isinstance(node, dict) else 0)
        for name, below in _named(node):
            total += unfolded(below, (*path, name))
            if total > MAX_UNFOLDED:
                raise _refusal("the schema's references multiply to too much", SCHEMA)
        return total

    def target(node: dict[str, Any], path: tuple[str, ...]) -> int:
        reference = node.get("$ref")
        if any(isinstance(node.get(name), str) for name in ELSEWHERE):
            raise _refusal("nothing but $ref may refer to another place", SCHEMA, *path)
        if not isinstance(reference, str):
            return 0
        if reference != "#" and not reference.startswith("#/"):
            raise _refusal("a $ref must lead to a place in the schema itself (#/...)", SCHEMA, *path, "$ref")
        if reference not in sizes:
            sizes[reference] = 1  # what leads back to itself ends with the answer, not with the schema
            sizes[reference] = unfolded(_at(schema, reference), path)
        return sizes[reference]

    unfolded(schema, ())


def _at(schema: Any, reference: str) -> Any:
    """What a JSON pointer leads to; None when that is nothing."""
    node = schema
    for part in reference.split("/")[1:]:
        name = unquote(part).replace("~1", "/").replace("~0", "~")
        node = dict(_named(node)).get(name)
    return node


def _named(node: object) -> Iterator[tuple[str, object]]:
    if isinstance(node, Mapping):
        yield from node.items()
    elif isinstance(node, list | tuple):
        yield from ((str(number), below) for number, below in enumerate(node))


def _refusal(what: str, *place: object) -> UsageError:
    return UsageError(f"{what}.", code="invalid_shape", param=".".join(map(str, place)))
