"""Which schemas documents may be extracted to: what engines would pass over is refused with the path to it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.schemas import LINE, STRING, TAKEN, endless, of
from viiwork.documents.schemalint import check_extractable
from viiwork.errors import UsageError


@pytest.mark.parametrize("schema", TAKEN.values(), ids=TAKEN)
def test_what_engines_are_held_to_is_taken(schema: dict[str, Any]) -> None:
    """Models of pydantic, null, recursion that may end; and fields may be called as keywords are."""
    check_extractable(schema)


@pytest.mark.parametrize(
    ("schema", "place"),
    [
        (of({"type": "array", "items": STRING, "uniqueItems": True}), "properties/a/uniqueItems"),
        (of({"type": "string", "pattern": "^a", "maxLength": 9}), "properties/a/maxLength"),
        (of({"type": "string", "format": "date", "minLength": 9}), "properties/a/minLength"),
        (of(STRING, **{"if": {}, "then": {}}), "if"),
        (of({"not": {"type": "string"}}), "properties/a/not"),
        (of(STRING, dependentRequired={"a": ["a"]}), "dependentRequired"),
        (of({"oneOf": [STRING]}), "properties/a/oneOf"),
        (of({"type": "array", "items": {"type": "array", "contains": {}}}), "properties/a/items/contains"),
        (of({"type": "integer", "multipleOf": 5}), "properties/a/multipleOf"),
        (of({"type": "object", "patternProperties": {"a": {}}}), "properties/a/patternProperties"),
        (of({"type": "string", "nullable": True}), "properties/a/nullable"),
        (of({"type": "string", "format": "iban"}), "properties/a/format"),
        (of({"type": "string", "pattern": "^(?!x)"}), "properties/a/pattern"),
        (of({"type": "object", "anyOf": [LINE]}), "properties/a/type"),
        (of({"allOf": [LINE, LINE]}), "properties/a/allOf"),
        (of({"$ref": "#/$defs/line", "maxLength": 3}, **{"$defs": {"line": STRING}}), "properties/a/maxLength"),
        (of({"$ref": "https://example.org/line.json"}), "properties/a/$ref"),
        (of({"$ref": "#/$defs/none"}), "properties/a/$ref"),
        (of({"$ref": "#"}), "properties/a/$ref"),
        (of({"type": "strin"}), "properties/a/type"),
        (of(STRING, required=["b"]), "required"),
        (endless(required=["next"]), "properties/a"),
        (of({"type": "string", "minLength": float("nan")}), "properties/a/minLength"),
        ({"type": "array", "items": LINE}, ""),
        ({"type": "object"}, ""),
        (LINE | {"anyOf": [LINE]}, "anyOf"),
        (of(STRING, **{"$defs": {str(n): STRING for n in range(65)}}), "$defs"),
        (of({"enum": ["x" * 70_000]}), ""),
    ],
)
def test_what_they_would_pass_over_is_refused_with_its_path(schema: dict[str, Any], place: str) -> None:
    """Before a document is read, and with what to write instead."""
    with pytest.raises(UsageError) as refused:
        check_extractable(schema)
    assert refused.value.param == ".".join(["schema", *filter(None, place.split("/"))])
    assert str(refused.value).startswith(f"schema: /{place}: " if place else "schema: ")


def test_the_largest_schema_is_looked_through_in_bounded_time() -> None:
    """As many definitions as may be, each ending only once the next one does."""
    chain = {
        f"d{n}": {"type": "object", "properties": {"n": {"$ref": f"#/$defs/d{n + 1}"}}, "required": ["n"]}
        for n in range(40)
    }
    wide = {f"p{n}": STRING for n in range(500)}
    check_extractable(of({"$ref": "#/$defs/d0"}, **{"$defs": chain | {"d40": {"type": "object", "properties": wide}}}))
