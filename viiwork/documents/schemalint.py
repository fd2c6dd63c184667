"""Which JSON schemas documents can be extracted to: refused is what an engine would pass over in silence. Pure.

xgrammar drops `uniqueItems`, a length beside a `pattern`, `if`, `not` and `dependentRequired` without a word
(measured); llguidance refuses most of them, once the documents are read. So only what all are held to is let in.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from viiwork.documents.schemasize import SCHEMA
from viiwork.documents.shapes import check_shape
from viiwork.errors import UsageError
from viiwork.work import Shape

Node = Mapping[str, Any]
Path = tuple[str, ...]
OPTION, FIELDS = "schema", "properties"
MAX_FIELDS = 200
MAX_DEFINITIONS = 64
"""To see whether each can end takes a pass over all for each."""
DEFINITIONS = ("$defs", "definitions")
ANNOTATIONS = frozenset({"title", "description", "default", "examples", "deprecated", "$comment", "$schema", "$id"})
OF_TEXT = frozenset({"minLength", "maxLength", "pattern", "format"})
OF_NUMBERS = frozenset({"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"})
OF_LISTS = frozenset({"items", "prefixItems", "minItems", "maxItems"})
OF_OBJECTS = frozenset({"properties", "required", "additionalProperties"})
OF_ANY = frozenset({"type", "enum", "const", "anyOf", "allOf", "$ref"})
TAKEN = OF_TEXT | OF_NUMBERS | OF_LISTS | OF_OBJECTS | OF_ANY
FORMATS = frozenset({"email", "date", "time", "date-time", "duration", "ipv4", "ipv6", "hostname", "uuid", "uri"})
BESIDE_OTHERS = ("$ref", "anyOf", "allOf")
"""Engines read these alone, and pass over what constrains the value beside them."""
IGNORED = "engines ignore it, and nothing would say so"
WHY = {
    "uniqueItems": f"{IGNORED}; leave it out: lists are put together without doubles",
    "oneOf": f"{IGNORED} that only one may hold; use anyOf",
    "not": f"{IGNORED}; say with enum or anyOf what is allowed",
    "if": f"{IGNORED}; give each case a schema of its own in anyOf",
    "nullable": 'JSON Schema has no such keyword; use `"type": [..., "null"]`',
    "required": "it names what `properties` has not",
}
WHY |= dict.fromkeys(("then", "else", "dependentRequired", "dependentSchemas", "dependencies"), WHY["if"])
LOOKS = ("(?=", "(?!", "(?<=", "(?<!")


def check_extractable(schema: Node) -> None:
    """Raises UsageError naming the keyword and the path to it, such as `/properties/lines/uniqueItems`."""
    try:
        check_shape(Shape(json_schema=dict(schema)))
    except UsageError as error:
        place = (error.param or SCHEMA).split(".")[1:]
        raise _refusal(error.message.rstrip("."), *place) from error
    _check_root(schema)
    for node, path in _subschemas(schema):
        _check_node(node, path)
    _check_ends(schema)


def _check_root(schema: Node) -> None:
    if schema.get("type") != "object" or not schema.get("properties"):
        said = 'at the top there must be `"type": "object"` with `properties`: the fields that are looked for'
        raise _refusal(said)
    for name in (*BESIDE_OTHERS, "enum", "const"):
        if name in schema:
            raise _refusal("it has no place at the top; put it below a field", name)
    if len(schema["properties"]) > MAX_FIELDS:
        raise _refusal(f"there are {len(schema['properties'])} fields; {MAX_FIELDS} are allowed", "properties")
    definitions = sum(len(schema.get(name, ())) for name in DEFINITIONS)
    if definitions > MAX_DEFINITIONS:
        raise _refusal(f"there are {definitions} definitions; {MAX_DEFINITIONS} are allowed", "$defs")


def _check_node(node: Node, path: Path) -> None:
    for name in node:
        if name in DEFINITIONS and not path:
            continue
        if name not in TAKEN and name not in ANNOTATIONS and not name.startswith("x-"):
            raise _refusal(WHY.get(name, f"{IGNORED}; leave it out"), *path, name)
    _check_company(node, path)
    _check_text(node, path)
    _check_reference(node, path)
    properties = node.get("properties", {})
    if set(node.get("required", ())) - set(properties):
        raise _refusal(WHY["required"], *path, "required")


def _check_company(node: Node, path: Path) -> None:
    """What stands alone, and what may not stand beside it."""
    constraints = [name for name in node if name in TAKEN]
    for name in BESIDE_OTHERS:
        if name in node and len(constraints) > 1:
            other = next(one for one in constraints if one != name)
            raise _refusal(f"beside {name} {IGNORED}; move it into the schema that {name} names", *path, other)
    if len(node.get("allOf", ())) > 1:
        raise _refusal("engines hold an answer to one of several; write them as one schema", *path, "allOf")


def _check_text(node: Node, path: Path) -> None:
    pattern, form = node.get("pattern"), node.get("format")
    for length in ("minLength", "maxLength"):
        if length in node and (pattern is not None or form is not None):
            beside = "pattern" if pattern is not None else "format"
            raise _refusal(f"beside {beside} {IGNORED}; say the length in the pattern", *path, length)
    if pattern is not None and form is not None:
        raise _refusal(f"beside pattern {IGNORED}; keep one of them", *path, "format")
    if pattern is not None and any(look in pattern for look in LOOKS):
        raise _refusal("an engine cannot look ahead or back; say it without (?=, (?!, (?<= and (?<!", *path, "pattern")
    if form is not None and form not in FORMATS:
        raise _refusal(f"{IGNORED}; known are {', '.join(sorted(FORMATS))}", *path, "format")


def _check_reference(node: Node, path: Path) -> None:
    reference = node.get("$ref")
    if reference is not None and (reference.count("/") != 2 or reference.split("/")[1] not in DEFINITIONS):
        raise _refusal("it must lead to a definition, as `#/$defs/line` does", *path, "$ref")


def _check_ends(schema: Node) -> None:
    """Raises UsageError for a schema that only a value without end would match."""
    waiting = {
        f"#/{where}/{name}": below
        for where in DEFINITIONS
        for name, below in schema.get(where, {}).items()
        if isinstance(below, Mapping)
    }
    ending = set[str]()
    while more := {name for name, below in waiting.items() if _ends(below, ending, waiting)}:
        ending |= more
        waiting = {name: below for name, below in waiting.items() if name not in more}
    for name, below in schema["properties"].items():
        if isinstance(below, Mapping) and not _ends(below, ending, waiting):
            raise _refusal("it requires itself, so that no value ever ends; let it be null or a list", FIELDS, name)


def _ends(node: object, ending: set[str], waiting: Mapping[str, object]) -> bool:
    if not isinstance(node, Mapping):
        return True
    if "$ref" in node:
        return node["$ref"] in ending or node["$ref"] not in waiting
    if "anyOf" in node:
        return any(_ends(one, ending, waiting) for one in node["anyOf"])
    needed = [*node.get("allOf", ()), *(node.get("properties", {}).get(name) for name in node.get("required", ()))]
    if node.get("minItems", 0) > 0:
        needed.append(node.get("items"))
    of_type = node.get("type")
    return isinstance(of_type, list) or all(_ends(one, ending, waiting) for one in needed)


def _subschemas(schema: Node, path: Path = ()) -> Iterator[tuple[Node, Path]]:
    """Every schema in it with its path; what stands in `enum`, `default` and the like is none."""
    yield schema, path
    for name in (*DEFINITIONS, FIELDS):
        for key, below in schema.get(name, {}).items():
            if isinstance(below, Mapping):
                yield from _subschemas(below, (*path, name, key))
    for name in ("anyOf", "allOf", "prefixItems"):
        for number, below in enumerate(schema.get(name, ())):
            if isinstance(below, Mapping):
                yield from _subschemas(below, (*path, name, str(number)))
    for name in ("items", "additionalProperties"):
        if isinstance(below := schema.get(name), Mapping):
            yield from _subschemas(below, (*path, name))


def _refusal(why: str, *place: str) -> UsageError:
    where = f"{OPTION}: /{'/'.join(place)}" if place else OPTION
    return UsageError(f"{where}: {why}.", code="invalid_shape", param=".".join((OPTION, *place)))
