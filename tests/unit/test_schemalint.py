"""Which schemas documents may be extracted to: what engines would pass over is refused with the path to it."""

from __future__ import annotations

from datetime import date
from enum import StrEnum
from typing import Any

import pytest
from pydantic import BaseModel, Field

from viiwork.documents.schemalint import check_extractable
from viiwork.errors import UsageError


class Currency(StrEnum):
    EUR = "EUR"
    CHF = "CHF"


class Line(BaseModel):
    text: str
    cents: int = Field(ge=0)


class Invoice(BaseModel):
    """As people write them."""

    number: str = Field(pattern=r"^[A-Z]{2}-\d+$", description="as printed")
    due: date | None = None
    currency: Currency = Currency.EUR
    lines: list[Line] = Field(max_length=50)


STRING = {"type": "string"}
LINE = {"type": "object", "properties": {"text": STRING}, "required": ["text"]}


def of(node: Any, **more: Any) -> dict[str, Any]:
    return {"type": "object", "properties": {"a": node}, **more}


def endless(**more: Any) -> dict[str, Any]:
    node = {"type": "object", "properties": {"next": {"$ref": "#/$defs/node"}}, **more}
    return of({"$ref": "#/$defs/node"}, **{"$defs": {"node": node}})


@pytest.mark.parametrize(
    "schema",
    [
        Invoice.model_json_schema(),
        of({"type": ["string", "null"], "maxLength": 20}),
        of({"type": "array", "items": LINE | {"x-identity": "text"}, "minItems": 1}),
        of({"type": "number", "minimum": 0, "exclusiveMaximum": 9.5, "title": "T", "examples": [1]}),
        of({"anyOf": [{"type": "integer"}, {"enum": ["none", None]}], "description": "either"}),
        of({"$ref": "#/definitions/line"}, definitions={"line": LINE}),
        of({"type": "object", "properties": {"not": STRING, "oneOf": STRING, "uniqueItems": STRING}}),
        of({"default": {"not": 1}, "enum": [{"if": 1}]}),
        of(True),
        endless(),
        endless(required=["next"], type=["object", "null"]),
    ],
)
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
