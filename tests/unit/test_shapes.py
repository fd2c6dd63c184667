"""Shapes: which are refused at the door, and whether an answer has the one that was asked for."""

from __future__ import annotations

import json
from typing import Any

import pytest

from viiwork.documents.regexsize import Unweighed, weight
from viiwork.documents.shapes import MAX_CHOICES, check_shape
from viiwork.errors import JobRefused, UsageError
from viiwork.work import Shape
from viiwork_workers.engines.server.shapes import held

INVOICE = {
    "type": "object",
    "properties": {"total": {"type": "integer"}, "lines": {"type": "array", "items": {"$ref": "#/$defs/line"}}},
    "required": ["total"],
    "additionalProperties": False,
    "$defs": {"line": {"type": "object", "properties": {"name": {"type": "string", "pattern": "^[a-z]+$"}}}},
}
OLD = "http://json-schema.org/draft-04/schema#"
NODE = {"type": "object", "properties": {"below": {"type": "array", "items": {"$ref": "#"}}}}


def tower(levels: int) -> dict[str, Any]:
    """Each level refers to the one below twice: 2 to the power of `levels` in all."""
    levels_ = {
        f"l{level}": {"anyOf": [{"$ref": f"#/$defs/l{level - 1}"}, {"$ref": f"#/$defs/l{level - 1}"}]}
        for level in range(1, levels + 1)
    }
    return {"$ref": f"#/$defs/l{levels}", "$defs": {"l0": {"type": "string"}, **levels_}}


def rebased(levels: int, ident: str) -> dict[str, Any]:
    """The same tower below a root of its own, where `#/$defs/…` leads from there; from the outer root it is small."""
    inner = tower(levels)
    return {"properties": {"x": inner | {"$id": ident}}, "$defs": {name: {} for name in inner["$defs"]}}


def nested(levels: int) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "integer"}
    for _ in range(levels):
        schema = {"properties": {"a": schema}}
    return schema


def chain(links: int) -> dict[str, Any]:
    made = {f"l{link}": {"$ref": f"#/$defs/l{link + 1}"} for link in range(links)}
    return {"$ref": "#/$defs/l0", "$defs": {**made, f"l{links}": {"type": "string"}}}


@pytest.mark.parametrize(
    "shape",
    [
        Shape(json_schema=INVOICE),
        Shape(json_schema=NODE),
        Shape(json_schema={}),
        Shape(json_schema={"$ref": "#"}),
        Shape(json_schema=tower(8)),
        Shape(json_schema={"$schema": "http://json-schema.org/draft-07/schema#", "type": "string"}),
        Shape(json_object=True),
        Shape(regex=r"\d{4}-\d{2}-\d{2}"),
        Shape(regex=r"[a-z]{1,63}(\.[a-z]{1,63}){1,8}"),
        Shape(choice=("yes", "no")),
    ],
)
def test_a_shape_that_can_be_checked_is_let_in(shape: Shape) -> None:
    """Recursion and the older drafts too."""
    check_shape(shape)


@pytest.mark.parametrize(
    ("shape", "param"),
    [
        (Shape(), "shape"),
        (Shape(regex="a", choice=("a",)), "shape"),
        (Shape(json_schema={"type": "objekt"}), "json_schema.type"),
        (Shape(json_schema={"properties": {"a": {"minimum": "x"}}}), "json_schema.properties.a.minimum"),
        (Shape(json_schema={"properties": {"a": {"pattern": "("}}}), "json_schema.properties.a.pattern"),
        (Shape(json_schema={"items": {"$ref": "http://example.org/x.json"}}), "json_schema.items.$ref"),
        (Shape(json_schema={"items": {"$ref": "file:///etc/passwd"}}), "json_schema.items.$ref"),
        (Shape(json_schema={"items": {"$ref": "#away"}}), "json_schema.items.$ref"),
        (Shape(json_schema={"items": {"$dynamicRef": "#away"}}), "json_schema.items.$dynamicRef"),
        (Shape(json_schema={"$ref": "#/$defs/none"}), "json_schema.$ref"),
        (Shape(json_schema={"$schema": "http://json-schema.org/draft-99/schema#"}), "json_schema"),
        (Shape(json_schema={"enum": ["x" * 70_000]}), "json_schema"),
        (Shape(json_schema=nested(64)), "json_schema"),
        (Shape(json_schema=tower(40)), "json_schema"),
        (Shape(json_schema=rebased(24, "urn:x")), "json_schema.properties.x.$id"),
        (Shape(json_schema=rebased(24, "a")), "json_schema.properties.x.$id"),
        (Shape(json_schema={"$schema": OLD, "items": {"id": "urn:x"}}), "json_schema.items.id"),
        (Shape(json_schema={"items": {"$schema": OLD, "id": "urn:x"}}), "json_schema.items.$schema"),
        (Shape(json_schema={"$anchor": "x"}), "json_schema.$anchor"),
        (Shape(json_schema={"allOf": [{}], "items": {"$ref": "#/allOf/00"}}), "json_schema.items.$ref"),
        (Shape(json_schema={"properties": {"a": {"const": float("nan")}}}), "json_schema.properties.a.const"),
        (Shape(json_schema={"enum": [1, [float("inf")]]}), "json_schema.enum.1.0"),
        (Shape(json_schema={"items": {"pattern": "(?#x)"}}), "json_schema.items.pattern"),
        (
            Shape(json_schema={"anyOf": [{"pattern": f"\\w{{40}}{n}"} for n in range(60)]}),
            "json_schema.anyOf.47.pattern",
        ),
        (Shape(json_schema={"patternProperties": {"[a-z]{2001}": {}}}), "json_schema.patternProperties"),
        (Shape(json_schema=chain(1_500)), "json_schema"),
        (Shape(regex="("), "regex"),
        (Shape(regex="a" * 5_000), "regex"),
        (Shape(regex="(a{1000}){1000}"), "regex"),
        (Shape(regex="(?au)a"), "regex"),
        (Shape(choice=("a", "a")), "choice"),
        (Shape(choice=("a", "")), "choice.1"),
        (Shape(choice=tuple(map(str, range(MAX_CHOICES + 1)))), "choice"),
    ],
)
def test_a_shape_that_nobody_could_check_is_refused_with_its_place(shape: Shape, param: str) -> None:
    """And nothing is fetched, no file is read, nothing is written out without bound."""
    with pytest.raises(UsageError) as refused:
        check_shape(shape)
    assert refused.value.param == param


def test_what_names_no_other_place_is_taken() -> None:
    """A root may say what it is, and a property may be called anything."""
    named = {"type": "object", "properties": {"id": {"type": "string"}, "$id": {"type": "string"}, "pattern": {}}}
    check_shape(Shape(json_schema={"$schema": OLD, "id": "urn:x", **named}))
    check_shape(Shape(json_schema={"$id": "https://example.org/x", **named, "examples": [{"id": "7"}]}))


@pytest.mark.parametrize(
    "pattern",
    [
        "(?#[)((a{3000}){1000})]",
        "(?x)#[\n((a{1000}){1000})#]",
        "(?V1)[[a]((a{1000}){1000})]",
        "(a{3000}[[:alpha:])]){1000}",
        "((?P<x>a{3000})(?P>x)){1000}",
        "(a{3000}){e<=99}",
        "(?(DEFINE)a)",
        "(*FAIL)",
        "a)b",
        "(a",
        "[]a]",
        "(?r)a",
    ],
)
def test_a_pattern_that_cannot_be_weighed_is_refused_before_it_is_compiled(pattern: str) -> None:
    """What looks like a class to one reader and like a comment to another hides what it repeats."""
    with pytest.raises(Unweighed):
        weight(pattern)
    with pytest.raises(UsageError, match="not understood from character"):
        check_shape(Shape(regex=pattern))


@pytest.mark.parametrize(
    "pattern",
    [
        r"(?i)\p{Lu}\P{^Greek}(?<year>\d{4})-(?P<m>\d{2})(?P=m)",
        r'\{"name": "[^"\\]*"\}',
        r'{"name": "\w+"}',
        r"(?s-i:.)(?=a)(?!b)(?<=a)(?<!c)(?>d)[^\]\[a-z-]+?",
        r"\N{LATIN SMALL LETTER A}{,3}",
    ],
)
def test_what_people_write_is_read(pattern: str) -> None:
    """Names, classes, looks, properties, flags that leave the rest what it is, and braces that count nothing."""
    check_shape(Shape(regex=pattern))


@pytest.mark.parametrize(
    ("pattern", "characters"),
    [
        ("abc", 3),
        ("a{3}{4}", 12),
        ("(ab){10}c", 21),
        ("(a{10}){10}", 100),
        ("[{(]{3}", 3),
        (r"\({2}", 2),
        ("a+b*", 2),
        ("(a{30}){,}{10}", 300),
    ],
)
def test_repetitions_in_repetitions_multiply(pattern: str, characters: int) -> None:
    """What stands in a class or behind a backslash repeats nothing."""
    assert weight(pattern) == characters


@pytest.mark.parametrize(
    ("shape", "text", "value"),
    [
        (
            Shape(json_schema=INVOICE),
            ' {"total": 3, "lines": [{"name": "ink"}]}\n',
            {"total": 3, "lines": [{"name": "ink"}]},
        ),
        (Shape(json_schema=NODE), '{"below": [{"below": []}]}', {"below": [{"below": []}]}),
        (Shape(json_object=True), '{"a": "\\u00e9"}', {"a": "é"}),
        (Shape(regex=r"\d{4}"), "1999", None),
        (Shape(choice=("yes", "no")), "no", None),
    ],
)
async def test_an_answer_with_its_shape_comes_with_its_value(shape: Shape, text: str, value: Any) -> None:
    """JSON where it is JSON."""
    assert await held(shape, text, finish_reason="stop") == value


@pytest.mark.parametrize(
    ("shape", "text"),
    [
        (Shape(json_schema=INVOICE), '{"total": "secret"}'),
        (Shape(json_schema=INVOICE), '{"total": 3, "lines": [{"name": "secret 5"}]}'),
        (Shape(json_schema=INVOICE), '{"total": 3, "secret": 1}'),
        (Shape(json_schema=INVOICE), '{"total": 3'),
        (Shape(json_schema={"type": "number"}), "NaN"),
        (Shape(json_schema={"type": "number"}), "1e999"),
        (Shape(json_schema={"type": "string"}), '"\\ud800"'),
        (Shape(json_schema={"type": "array"}), "[" * 100_000),
        (Shape(json_object=True), "[1]"),
        (Shape(json_object=True), "secret"),
        (Shape(regex=r"\d{4}"), "1999 secret"),
        (Shape(regex=r"(a+)+b"), "a" * 40_000),
        (Shape(choice=("yes", "no")), "Yes"),
    ],
)
async def test_an_answer_without_its_shape_is_refused_and_not_quoted(shape: Shape, text: str) -> None:
    """An engine that was held to it may still miss it: cut off, or with a grammar that it could not read."""
    with pytest.raises(JobRefused) as refused:
        await held(shape, text, finish_reason="stop")
    assert refused.value.code == "invalid_output"
    assert "secret" not in str(refused.value)


async def test_a_miss_says_where_in_the_schema_it_is() -> None:
    """In the sender's own words, which are the schema's."""
    with pytest.raises(JobRefused, match="/properties/total/type"):
        await held(Shape(json_schema=INVOICE), '{"total": "x"}', finish_reason="stop")


async def test_a_number_that_is_too_large_is_named() -> None:
    """That answer is JSON, and was called none."""
    with pytest.raises(JobRefused, match="a number that is too large"):
        await held(Shape(json_schema={"type": "number"}), "1e999", finish_reason="stop")


async def test_an_answer_that_was_cut_off_says_to_raise_the_limit() -> None:
    """The shape was right as far as it went."""
    with pytest.raises(JobRefused, match="max_output_tokens"):
        await held(Shape(json_schema=INVOICE), '{"total": 3', finish_reason="length")


async def test_a_long_answer_is_checked_beside_the_loop() -> None:
    """On a thread, with the same outcome."""
    text = json.dumps({"total": 1, "lines": [{"name": "ink"}] * 8_000})
    assert (await held(Shape(json_schema=INVOICE), text, finish_reason="stop"))["total"] == 1
