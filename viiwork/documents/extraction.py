"""What a model is asked to write so that a document fills a schema, and what it has written. Pure.

Each field of the schema is asked for as `{"quote": …, "value": …}`, or null where the document does not give it; so is
each item of a list. A quote for each leaf would write an invoice's lines down twice over; one object with all quotes
before the values would part each quote from its value, which small models then lose sight of. Without null a passage
that says nothing of a required field would have to be answered with something made up.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from viiwork.work import Answer, Evidence, TaskOptions

MAX_QUOTE_CHARACTERS = 240
REPAIR_TOKENS = 120
"""Of the words that ask a second time; kept free in every prompt."""
DEFAULT_OUTPUT_TOKENS = 1024
QUOTE = {"type": "string", "maxLength": MAX_QUOTE_CHARACTERS}
NULL = {"type": "null"}


def repair(why: str) -> str:
    """What is said when the first answer could not be used; `why` is our own sentence, with places in the schema."""
    return (
        f"\n\nA first answer to this could not be used: {why[:300]} "
        "Write the whole JSON object anew, complete and as short as it can be."
    )


def compact(value: object) -> str:
    """As JSON without blanks, in the order that it has."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def asked_schema(options: TaskOptions) -> dict[str, Any]:
    """The schema that an engine is held to for one passage of a document."""
    schema = options.json_schema or {}
    asked = {name: _or_null(_asked(below, options)) for name, below in fields(schema).items()}
    kept = {name: schema[name] for name in ("$schema", "$defs", "definitions") if name in schema}
    return kept | {"type": "object", "properties": asked, "required": list(asked), "additionalProperties": False}


def fields(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a schema with what is said of each; references are followed, and what else may be null is bared."""
    return {name: _bared(schema, below) for name, below in schema.get("properties", {}).items()}


def _bared(schema: Mapping[str, Any], node: Any) -> Any:
    """A field that is null or one thing is asked for as that thing: null is what any field may be."""
    node = followed(schema, node)
    others = [one for one in node.get("anyOf", ()) if one != NULL] if isinstance(node, Mapping) else []
    return followed(schema, others[0]) if len(others) == 1 else node


def followed(schema: Mapping[str, Any], node: Any) -> Any:
    """What a reference to a definition leads to; anything else as it is."""
    seen = 0
    while isinstance(node, Mapping) and "$ref" in node and seen < 64:
        where, name = node["$ref"].split("/")[1:]
        node, seen = schema[where][name.replace("~1", "/").replace("~0", "~")], seen + 1
    return node


def is_list(node: Any) -> bool:
    """Whether a field is a list of like items, which each have a quote of their own."""
    return isinstance(node, Mapping) and node.get("type") == "array" and "items" in node and "prefixItems" not in node


def taken(options: TaskOptions, told: Mapping[str, Any]) -> Answer:
    """The answer that an engine's JSON comes to: the values that it gives, and their quotes as evidence."""
    value, evidence = dict[str, Any](), list[Evidence]()
    for name, node in fields(options.json_schema or {}).items():
        said, place = told.get(name), pointer(name)
        if said is None:
            continue
        if not options.quotes:
            value[name] = said
        elif is_list(node):
            value[name] = [one["value"] for one in said]
            evidence += (Evidence(quote=one["quote"], field=f"{place}/{at}") for at, one in enumerate(said))
        elif said["value"] is not None:
            value[name] = said["value"]
            evidence.append(Evidence(quote=said["quote"], field=place))
    return Answer(text=compact(value), value=value, evidence=tuple(evidence))


def pointer(*names: object) -> str:
    """The JSON pointer to a value (RFC 6901)."""
    return "".join("/" + str(name).replace("~", "~0").replace("/", "~1") for name in names)


def admits(schema: Mapping[str, Any], node: Any) -> Iterator[str]:
    """What may stand for a field that nobody found: `null`, `list`, or nothing."""
    node = followed(schema, node)
    if not isinstance(node, Mapping):
        return
    of_type = node.get("type")
    if of_type == "null" or (isinstance(of_type, list) and "null" in of_type) or None in node.get("enum", ()):
        yield "null"
    if of_type == "array" and not node.get("minItems"):
        yield "list"
    for one in node.get("anyOf", ()):
        yield from admits(schema, one)


def _asked(node: Any, options: TaskOptions) -> dict[str, Any]:
    if not options.quotes:
        return {name: said for name, said in node.items() if name != "minItems"} if is_list(node) else node
    if is_list(node):
        most = {"maxItems": node["maxItems"]} if "maxItems" in node else {}
        return {"type": "array", "items": _quoted(node["items"]), **most}
    return _quoted(node)


def _quoted(node: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {"quote": QUOTE, "value": node},
        "required": ["quote", "value"],
        "additionalProperties": False,
    }


def _or_null(node: Any) -> dict[str, Any]:
    return {"anyOf": [node, NULL]}
