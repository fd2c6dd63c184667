"""Schemas that documents may be extracted to, as people write them."""

from __future__ import annotations

from datetime import date
from enum import StrEnum
from typing import Any

from pydantic import BaseModel, Field


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


TAKEN: dict[str, dict[str, Any]] = {
    "a model of pydantic": Invoice.model_json_schema(),
    "a text or null": of({"type": ["string", "null"], "maxLength": 20}),
    "lines with an identity": of({"type": "array", "items": LINE | {"x-identity": "text"}, "minItems": 1}),
    "a number in bounds": of({"type": "number", "minimum": 0, "exclusiveMaximum": 9.5, "title": "T", "examples": [1]}),
    "either of two": of({"anyOf": [{"type": "integer"}, {"enum": ["none", None]}], "description": "either"}),
    "a definition": of({"$ref": "#/definitions/line"}, definitions={"line": LINE}),
    "fields called as keywords are": of({"type": "object", "properties": {"not": STRING, "oneOf": STRING, "uniqueItems": STRING}}),
    "a default and a choice of odd values": of({"default": {"not": 1}, "enum": [{"if": 1}]}),
    "anything": of(True),
    "what may go on for ever": endless(),
    "what may go on or be null": endless(required=["next"], type=["object", "null"]),
}
"""Of each kind that engines can be held to."""
