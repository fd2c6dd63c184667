"""The extractions of a document's parts put together to one. Pure.

Of a field that several parts give, a value with a quote that the document contains goes before one without, then the
one that most parts give, then the first. What the others say is kept as alternatives. Lists are joined: items that are
the same by their identity are one, and so are items of two parts whose quotes overlap in the document.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from viiwork.documents.extraction import admits, compact, fields, followed, is_list, pointer
from viiwork.errors import DocumentError
from viiwork.work import Alternative, Answer, Evidence, TaskOptions

IDENTITY = "x-identity"
"""Beside `properties` of a list's items: the names of those that tell items apart; without it all of them do."""
MAX_ALTERNATIVES = 100
STRETCH = 500
"""Characters; more than a quote has, mostly."""


Quotes = Mapping[str, Evidence]
"""Of one part, by the fields that they give."""


@dataclass(frozen=True, slots=True)
class Found:
    """A value as one part gives it."""

    value: Any
    part: int
    evidence: Evidence | None

    @property
    def grounded(self) -> bool:
        return self.evidence is not None and not self.evidence.unsupported


def agree(options: TaskOptions, answers: Sequence[Answer]) -> Answer:
    """The document's extraction. Raises DocumentError when what was found does not fill the schema.

    What the answers cost and noted is the first one's: the caller adds that up.
    """
    schema = options.json_schema or {}
    value, evidence, others = dict[str, Any](), list[Evidence](), list[Alternative]()
    quotes = [{piece.field: piece for piece in answer.evidence} for answer in answers]
    for name, node in fields(schema).items():
        if is_list(node):
            items = _joined(_items(answers, quotes, name), _identity(schema, node))
            if any(name in _values(answer) for answer in answers):
                value[name] = [item.value for item in items]
            evidence += (_at(item, pointer(name, at)) for at, item in enumerate(items) if item.evidence)
        elif found := list(_found(answers, quotes, name)):
            chosen, rest = _chosen(found)
            value[name] = chosen.value
            evidence += [_at(chosen, pointer(name))] if chosen.evidence else []
            others += (Alternative(field=pointer(name), value=one.value, evidence=one.evidence) for one in rest)
    value = _filled(schema, value)
    update = {"value": value, "text": compact(value), "evidence": tuple(evidence)}
    return answers[0].model_copy(update=update | {"alternatives": tuple(others[:MAX_ALTERNATIVES])})


def _values(answer: Answer) -> Mapping[str, Any]:
    return answer.value if isinstance(answer.value, dict) else {}


def _found(answers: Sequence[Answer], quotes: Sequence[Quotes], name: str) -> Iterable[Found]:
    for part, answer in enumerate(answers):
        if (value := _values(answer).get(name)) is not None:
            yield Found(value, part, quotes[part].get(pointer(name)))


def _items(answers: Sequence[Answer], quotes: Sequence[Quotes], name: str) -> Iterable[Found]:
    for part, answer in enumerate(answers):
        for at, value in enumerate(_values(answer).get(name, ())):
            yield Found(value, part, quotes[part].get(pointer(name, at)))


def _chosen(found: Sequence[Found]) -> tuple[Found, list[Found]]:
    """The value to keep, filled up from those that agree with it, and the first of each other one."""
    votes = [_same(one.value) for one in found]
    counts = Counter(votes)
    best = max(range(len(found)), key=lambda at: (found[at].grounded, counts[votes[at]], -at))
    kept, others = found[best], dict[str, Found]()
    for at in sorted(range(len(found)), key=lambda at: not found[at].grounded):
        if _compatible(kept.value, found[at].value):
            kept = Found(_both(kept.value, found[at].value), kept.part, kept.evidence)
        else:
            others.setdefault(votes[at], found[at])
    return kept, list(others.values())


def _joined(items: Iterable[Found], identity: Sequence[str]) -> list[Found]:
    kept, places, near = list[Found](), dict[str, int](), dict[int, list[int]]()
    for item in items:
        key = _key(item.value, identity)
        at = places.get(key)
        if at is None or (not identity and kept[at].part == item.part and _apart(kept[at], item)):
            around = (at for stretch in _stretches(item) for at in near.get(stretch, ()))
            at = next((at for at in around if _overlap(kept[at], item)), None)
        if at is None:
            places.setdefault(key, len(kept))
            for stretch in _stretches(item):
                near.setdefault(stretch, []).append(len(kept))
            kept.append(item)
        else:
            kept[at] = _one(kept[at], item)
    return kept


def _stretches(item: Found) -> range:
    """The stretches of the document that its quote touches, so that not each item need be held against each other."""
    if item.evidence is None or item.evidence.start is None:
        return range(0)
    return range(item.evidence.start // STRETCH, (item.evidence.end or 0) // STRETCH + 1)


def _one(first: Found, second: Found) -> Found:
    better, other = (second, first) if second.grounded and not first.grounded else (first, second)
    return Found(_both(better.value, other.value), first.part, better.evidence)


def _apart(one: Found, other: Found) -> bool:
    """Whether two like items of one part stand at two places: a bill may have the same line twice."""
    if not (one.grounded and other.grounded):
        return False
    return _shared(one.evidence, other.evidence) <= 0


def _overlap(one: Found, other: Found) -> bool:
    """Whether items of two parts were read from the same words."""
    if one.part == other.part or not (one.grounded and other.grounded):
        return False
    lengths = [_length(found.evidence) for found in (one, other)]
    return 2 * _shared(one.evidence, other.evidence) > min(lengths)


def _shared(one: Evidence | None, other: Evidence | None) -> int:
    if one is None or other is None or one.start is None or other.start is None:
        return 0
    return min(one.end or 0, other.end or 0) - max(one.start, other.start)


def _length(evidence: Evidence | None) -> int:
    return (evidence.end or 0) - (evidence.start or 0) if evidence else 0


def _key(value: Any, identity: Sequence[str]) -> str:
    if identity and isinstance(value, dict) and all(value.get(name) is not None for name in identity):
        return _same([value[name] for name in identity])
    return _same(value)


def _identity(schema: Mapping[str, Any], node: Mapping[str, Any]) -> tuple[str, ...]:
    items = followed(schema, node["items"])
    named = items.get(IDENTITY, ()) if isinstance(items, Mapping) else ()
    return (named,) if isinstance(named, str) else tuple(named)


def _same(value: Any) -> str:
    """The same text for values that differ in blanks, case or how a number is written."""
    return json.dumps(_plain(value), sort_keys=True)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(below) for name, below in value.items() if below is not None}
    if isinstance(value, list):
        return [_plain(below) for below in value]
    if isinstance(value, str):
        return " ".join(value.casefold().split())
    return float(value) if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**53 else value


def _compatible(one: Any, other: Any) -> bool:
    """Whether they say nothing different: objects may each have what the other lacks."""
    if isinstance(one, dict) and isinstance(other, dict):
        both = [name for name in one if one[name] is not None and other.get(name) is not None]
        return all(_compatible(one[name], other[name]) for name in both)
    return _same(one) == _same(other)


def _both(one: Any, other: Any) -> Any:
    """The first, with what only the second has."""
    if not (isinstance(one, dict) and isinstance(other, dict)):
        return one
    filled = {name: one[name] if one.get(name) is not None else other.get(name) for name in {**one, **other}}
    return {
        name: _both(below, other[name]) if isinstance(other.get(name), dict) else below
        for name, below in filled.items()
    }


def _at(found: Found, field: str) -> Evidence:
    return (found.evidence or Evidence(quote="")).model_copy(update={"field": field})


def _filled(schema: Mapping[str, Any], value: dict[str, Any]) -> dict[str, Any]:
    """The fields in the schema's order, with null or an empty list for required ones that may be that."""
    required, missing = schema.get("required", ()), list[str]()
    made = dict[str, Any]()
    for name, node in schema.get("properties", {}).items():
        stands = list(admits(schema, node)) if name in required else []
        if name in value:
            made[name] = value[name]
        elif stands:
            made[name] = None if "null" in stands else []
        elif name in required:
            missing.append(pointer(name))
    if missing:
        raise DocumentError(
            f"The document does not give what the schema requires: {', '.join(missing[:10])}.",
            hint="Let it be null in the schema, or take it out of `required`, if documents may lack it.",
            code="incomplete",
        )
    _check(schema, made)
    return made


def _check(schema: Mapping[str, Any], value: dict[str, Any]) -> None:
    from viiwork.documents.shapes import validator_of  # noqa: PLC0415 - 5 MB of validators, once they are asked for

    places = ["/" + "/".join(map(str, error.schema_path)) for error in validator_of(schema).iter_errors(value)]
    if places:
        raise DocumentError(
            f"What was found does not match the schema at {', '.join(places[:5])}.",
            hint="Look whether the schema asks for more than documents of this kind have.",
            code="invalid_output",
        )
