"""How much a JSON schema is once its references are written out, and what would hide that. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import unquote

from viiwork.documents.regexsize import Unweighed, weight
from viiwork.errors import UsageError

MAX_SCHEMA_DEPTH = 64
MAX_UNFOLDED = 50_000
"""Subschemas once every reference is written out."""
MAX_PATTERNS_WEIGHT = 2_000
"""Of all patterns of a schema. 64 KiB of `\\w{40}` took the matcher 25 s to compile; so many take it half a second."""
SCHEMA = "json_schema"
OF_THE_ROOT = ("$id", "$schema")
ELSEWHERE = ("$anchor", "$dynamicAnchor", "$dynamicRef", "$recursiveAnchor", "$recursiveRef")
WITH_PLAIN_ID = ("draft-03", "draft-04")
"""In these versions of JSON Schema `id` is what `$id` is in others."""


def refusal(what: str, *place: object) -> UsageError:
    """The refusal of a shape; the place ends up in its `param`."""
    return UsageError(f"{what}.", code="invalid_shape", param=".".join(map(str, place)))


def check_size(schema: Any) -> None:
    """Raises UsageError for a schema that is, or may become, more than a validator should be given."""
    _check_depth(schema)
    _check_names(schema)
    _check_patterns(schema)
    _check_references(schema)


def no_number(schema: object) -> tuple[str, ...] | None:
    """Where a number stands that JSON has not, such as NaN; of any schema, however deep."""
    left: list[tuple[object, tuple[str, ...]]] = [(schema, ())]
    while left:
        node, path = left.pop()
        if isinstance(node, float) and not math.isfinite(node):
            return path
        left.extend((below, (*path, name)) for name, below in _named(node))
    return None


def _check_depth(schema: object) -> None:
    level: list[object] = [schema]
    for _ in range(MAX_SCHEMA_DEPTH):
        level = [below for one in level for _, below in _named(one)]
        if not level:
            return
    raise refusal(f"the schema is nested more than {MAX_SCHEMA_DEPTH} deep", SCHEMA)


def _check_names(schema: Any) -> None:
    """Raises UsageError for what would make a `#/…` lead elsewhere than from the root, where it is followed here."""
    said = schema.get("$schema") if isinstance(schema, Mapping) else None
    plain_id = isinstance(said, str) and any(draft in said for draft in WITH_PLAIN_ID)
    below_root = (*ELSEWHERE, *OF_THE_ROOT, *(["id"] if plain_id else []))
    for node, path in _mappings(schema):
        for name in below_root if path else ELSEWHERE:
            if isinstance(node.get(name), str | bool):  # what is no keyword there is a property of that name
                raise refusal(f"{name} has no place {'below the root' if path else 'in it'}", SCHEMA, *path, name)


def _check_patterns(schema: Any) -> None:
    total = 0
    for node, path in _mappings(schema):
        of_properties = node.get("patternProperties")
        patterns = [*of_properties] if isinstance(of_properties, Mapping) else []
        for pattern in [*patterns, *([node["pattern"]] if isinstance(node.get("pattern"), str) else [])]:
            place = (*path, "patternProperties" if pattern in patterns else "pattern")
            try:
                total += weight(pattern)
            except Unweighed as error:
                raise refusal(f"a pattern is not understood from character {error.at} on", SCHEMA, *place) from error
            if total > MAX_PATTERNS_WEIGHT:
                said = f"the patterns come to over {MAX_PATTERNS_WEIGHT:,} characters with repetitions written out"
                raise refusal(f"{said}; a maxLength costs nothing", SCHEMA, *place)


def _check_references(schema: Any) -> None:
    """Raises UsageError for references out of the schema, and for those that multiply to too much."""
    sizes: dict[str, int] = {}

    def unfolded(node: object, path: tuple[str, ...]) -> int:
        total = 1 + (target(node, path) if isinstance(node, dict) else 0)
        for name, below in _named(node):
            total += unfolded(below, (*path, name))
            if total > MAX_UNFOLDED:
                raise refusal("the schema's references multiply to too much", SCHEMA)
        return total

    def target(node: dict[str, Any], path: tuple[str, ...]) -> int:
        reference = node.get("$ref")
        if not isinstance(reference, str):
            return 0
        if reference != "#" and not reference.startswith("#/"):
            raise refusal("a $ref must lead to a place in the schema itself (#/...)", SCHEMA, *path, "$ref")
        if reference not in sizes:
            sizes[reference] = 1  # what leads back to itself ends with the answer, not with the schema
            sizes[reference] = unfolded(_at(schema, reference, path), path)
        return sizes[reference]

    unfolded(schema, ())


def _at(schema: Any, reference: str, path: tuple[str, ...]) -> Any:
    """What a JSON pointer leads to. A validator might find what we do not, such as `#/allOf/00`: that is refused."""
    node = schema
    for part in reference.split("/")[1:]:
        name = unquote(part).replace("~1", "/").replace("~0", "~")
        below = dict(_named(node))
        if name not in below:
            raise refusal("this $ref leads to nothing", SCHEMA, *path, "$ref")
        node = below[name]
    return node


def _mappings(node: object, path: tuple[str, ...] = ()) -> Iterator[tuple[Mapping[str, Any], tuple[str, ...]]]:
    if isinstance(node, Mapping):
        yield node, path
    for name, below in _named(node):
        yield from _mappings(below, (*path, name))


def _named(node: object) -> Iterator[tuple[str, object]]:
    if isinstance(node, Mapping):
        yield from node.items()
    elif isinstance(node, list | tuple):
        yield from ((str(number), below) for number, below in enumerate(node))
