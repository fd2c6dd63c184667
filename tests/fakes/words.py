"""What a fake language model writes: the same prose for the same question, and text of a given shape."""

from __future__ import annotations

import hashlib
import json
import random
import re
from collections.abc import Callable
from re import _constants as opcode  # type: ignore[attr-defined] # the parser's own opcodes have no public name
from re import _parser  # type: ignore[attr-defined] # the same
from typing import Any

NOUNS = ("lease", "letter", "meter", "invoice", "garden", "report", "window", "clerk", "station", "harbour", "engine")
VERBS = ("names", "follows", "covers", "opens", "mentions", "settles", "delays", "answers", "repeats", "carries")
WHERE = ("in spring", "at noon", "by the river", "without delay", "for two years", "as agreed", "on page four")
TOKEN = re.compile(r"\s*\w+|\s*[^\w\s]|\s+")
GARBAGE = "!" * 64


def tokens(text: str) -> list[str]:
    """A word or a mark each, with the blanks before it: joined they are the text."""
    return TOKEN.findall(text)


def dice(*said: object) -> random.Random:
    """Chance that is the same for the same things said."""
    return random.Random(hashlib.sha256(json.dumps(said, sort_keys=True, default=str).encode()).digest())


def prose(chance: random.Random, *, least_tokens: int) -> str:
    """Sentences that never repeat themselves for long, as a canary wants them."""
    written: list[str] = []
    while len(written) < least_tokens:
        sentence = (
            f"The {chance.choice(NOUNS)} {chance.choice(VERBS)} the {chance.choice(NOUNS)} {chance.choice(WHERE)}."
        )
        written += tokens(f" {sentence}" if written else sentence)
    return "".join(written)


def vector(text: str, dimensions: int) -> list[float]:
    chance = dice("vector", text)
    return [round(chance.uniform(-1, 1), 6) for _ in range(dimensions)]


def of_schema(schema: dict[str, Any], chance: random.Random) -> str:
    """JSON that the schema allows."""
    return json.dumps(_value(schema, schema, chance), separators=(",", ":"))


def _value(schema: Any, root: dict[str, Any], chance: random.Random) -> Any:
    if not isinstance(schema, dict):
        return None
    if "$ref" in schema:
        found: Any = root
        for name in str(schema["$ref"]).removeprefix("#/").split("/"):
            found = found[name]
        return _value(found, root, chance)
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return chance.choice(schema["enum"])
    for several in ("anyOf", "oneOf"):
        if several in schema:
            return _value(schema[several][0], root, chance)
    kind = schema.get("type", "object" if "properties" in schema else "string")
    return KINDS[kind[0] if isinstance(kind, list) else kind](schema, root, chance)


def _object(schema: dict[str, Any], root: dict[str, Any], chance: random.Random) -> dict[str, Any]:
    return {name: _value(inner, root, chance) for name, inner in schema.get("properties", {}).items()}


def _array(schema: dict[str, Any], root: dict[str, Any], chance: random.Random) -> list[Any]:
    return [_value(schema.get("items", {}), root, chance) for _ in range(schema.get("minItems", 1))]


def _string(schema: dict[str, Any], root: dict[str, Any], chance: random.Random) -> str:
    if "pattern" in schema:
        return of_regex(schema["pattern"], chance)
    word = chance.choice(NOUNS).ljust(schema.get("minLength", 0), "s")
    return word[: schema.get("maxLength", len(word))]


def _number(schema: dict[str, Any], root: dict[str, Any], chance: random.Random) -> int:
    low = schema.get("minimum", 0)
    return chance.randint(int(low), int(schema.get("maximum", low + 100)))


KINDS: dict[str, Callable[[dict[str, Any], dict[str, Any], random.Random], Any]] = {
    "object": _object,
    "array": _array,
    "string": _string,
    "integer": _number,
    "number": _number,
    "boolean": lambda schema, root, chance: chance.random() < 0.5,
    "null": lambda schema, root, chance: None,
}


def of_regex(pattern: str, chance: random.Random) -> str:
    """A text that the whole pattern matches."""
    return "".join(_matching(_parser.parse(pattern), chance))


def _matching(parsed: Any, chance: random.Random) -> list[str]:
    return [_one(kind, value, chance) for kind, value in parsed]


def _one(kind: Any, value: Any, chance: random.Random) -> str:
    if kind is opcode.LITERAL:
        return chr(value)
    if kind is opcode.IN:
        kind, value = chance.choice(value)
        return _one(kind, value, chance)
    if kind is opcode.RANGE:
        return chr(chance.randint(*value))
    if kind is opcode.CATEGORY:
        return {opcode.CATEGORY_DIGIT: "7", opcode.CATEGORY_SPACE: " "}.get(value, "w")
    if kind in (opcode.MAX_REPEAT, opcode.MIN_REPEAT):
        low, high, inner = value
        return "".join("".join(_matching(inner, chance)) for _ in range(chance.randint(low, min(high, low + 4))))
    if kind is opcode.BRANCH:
        return "".join(_matching(chance.choice(value[1]), chance))
    if kind is opcode.SUBPATTERN:
        return "".join(_matching(value[-1], chance))
    return "a" if kind in (opcode.ANY, opcode.NOT_LITERAL) else ""
