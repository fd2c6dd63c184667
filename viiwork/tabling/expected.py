"""The columns that a schema of fields asks for: a table in which every document failed has them too. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

Node = Mapping[str, Any]
BRANCHES = ("anyOf", "oneOf", "allOf")


def columns_in(schema: Node, name: str, *, deepest: int) -> tuple[str, ...]:
    """`value.seller.city` for each field, in the schema's order. What refers to itself has none: nobody knows how deep.

    A dot of a field's own name gets a backslash, as the columns of values have it.
    """
    return tuple(dict.fromkeys(_Walk(schema, deepest).fields(schema, name, depth=0, within=frozenset({"#"}))))


class _Walk:
    """Through one schema. What several branches lead to under one name is gone through once."""

    def __init__(self, schema: Node, deepest: int) -> None:
        self._schema = schema
        self._deepest = deepest
        self._met: set[tuple[str, str]] = set()

    def fields(self, node: Any, name: str, *, depth: int, within: frozenset[str]) -> Iterator[str]:
        if not isinstance(node, Mapping):
            return
        target = node.get("$ref")
        if isinstance(target, str):
            if target not in within and (name, target) not in self._met:
                self._met.add((name, target))
                yield from self.fields(self._found(target), name, depth=depth, within=within | {target})
            return
        branches = [branch for kind in BRANCHES for branch in node.get(kind) or () if not _is_null(branch)]
        properties = node.get("properties")
        if isinstance(properties, Mapping) and properties and depth < self._deepest:
            for key, inner in properties.items():
                column = f"{name}.{str(key).replace('.', chr(92) + '.')}"
                yield from self.fields(inner, column, depth=depth + 1, within=within)
        elif not branches:
            yield name
        for branch in branches:
            yield from self.fields(branch, name, depth=depth, within=within)

    def _found(self, target: str) -> Any:
        """What a reference inside the schema leads to; None where that is nothing."""
        node: Any = self._schema
        for part in target.removeprefix("#").strip("/").split("/") if target != "#" else ():
            step = part.replace("~1", "/").replace("~0", "~")
            node = node.get(step) if isinstance(node, Mapping) else None
        return node


def _is_null(branch: Any) -> bool:
    return isinstance(branch, Mapping) and branch.get("type") == "null"
