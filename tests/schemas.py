"""Schemas that documents may be extracted to, one of each kind that engines can be held to."""

from __future__ import annotations

from datetime import date
from enum import StrEnum
from typing import Any

from pydantic import BaseModel, ConfigDict, Field


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


class Lease(BaseModel):
    """With others inside, and nothing besides."""

    model_config = ConfigDict(extra="forbid")

    ends: date | None
    deposit_euros: float | None = Field(ge=0, le=99_999)
    tenant: Line | None = None
    is_furnished: bool


STRING: dict[str, Any] = {"type": "string"}
LINE: dict[str, Any] = {"type": "object", "properties": {"text": STRING}, "required": ["text"]}


def of(node: Any, **more: Any) -> dict[str, Any]:
    """With one field `a`."""
    return {"type": "object", "properties": {"a": node}, **more}


def endless(**more: Any) -> dict[str, Any]:
    """With a definition that names itself."""
    node = {"type": "object", "properties": {"next": {"$ref": "#/$defs/node"}}, **more}
    return of({"$ref": "#/$defs/node"}, **{"$defs": {"node": node}})


TAKEN: dict[str, dict[str, Any]] = {
    "a model of pydantic": Invoice.model_json_schema(),
    "a model that forbids more": Lease.model_json_schema(),
    "a text or null": of({"type": ["string", "null"], "maxLength": 20}),
    "a text that must be there": of({"type": "string", "minLength": 3, "maxLength": 30}, required=["a"]),
    "a text of a pattern": of({"type": "string", "pattern": "^[A-Z]{2}-[0-9]{1,4}$"}, required=["a"]),
    "a day": of({"type": "string", "format": "date"}, required=["a"]),
    "a day and an hour": of({"type": "string", "format": "date-time"}, required=["a"]),
    "a choice": of({"enum": ["letter", "invoice", "other"]}, required=["a"]),
    "one value": of({"const": "yes"}, required=["a"]),
    "yes or no": of({"type": "boolean"}, required=["a"]),
    "a whole number in bounds": of({"type": "integer", "minimum": 1, "maximum": 12}, required=["a"]),
    "a number in bounds": of({"type": "number", "minimum": 0, "exclusiveMaximum": 9.5, "title": "T", "examples": [1]}),
    "texts": of({"type": "array", "items": STRING | {"maxLength": 12}, "maxItems": 3}, required=["a"]),
    "lists of lists": of({"type": "array", "items": {"type": "array", "items": {"type": "integer"}, "maxItems": 2}}),
    "lines with an identity": of({"type": "array", "items": LINE | {"x-identity": "text"}, "minItems": 1}),
    "fields inside fields": of(of(of(STRING | {"maxLength": 9}, required=["a"]), required=["a"]), required=["a"]),
    "either of two": of({"anyOf": [{"type": "integer"}, {"enum": ["none", None]}], "description": "either"}),
    "a definition": of({"$ref": "#/definitions/line"}, definitions={"line": LINE}),
    "nothing besides": of({"type": "integer"}, additionalProperties=False),
    "fields in another script": {"type": "object", "properties": {"Kündigungsfrist (Tage)": {"type": "integer"}}},
    "fields named as keywords": of(
        {"type": "object", "properties": {"not": STRING, "oneOf": STRING, "uniqueItems": STRING}}
    ),
    "a default and a choice of odd values": of({"default": {"not": 1}, "enum": [{"if": 1}]}),
    "anything": of(True),
    "what may go on for ever": endless(),
    "what may go on or be null": endless(required=["next"], type=["object", "null"]),
}
