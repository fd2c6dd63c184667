"""A scripted engine: it reads the generated papers by rules, writes what it was asked for, and slips as models do.

It answers chats over HTTP as any OpenAI-compatible server, so what it says passes the worker, the check against the
schema, the search for its quotes and the merge. It is no model, and what it gets right says nothing about models.
"""

from __future__ import annotations

import json
import random
import re
import zlib
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any

from bench.pages import Pages, serving
from bench.quality.papers import FILLERS
from bench.quality.quotation import noisy

MODEL = "scripted-clerk"
SLIPS = 0.15
"""Of the fields that a part does not give: so often one is made up, with a quote that is nowhere."""
PASSAGE = re.compile(r"<document>\n(.*)\n</document>", re.DOTALL)
Value = Callable[[re.Match[str]], Any]


def _cents(match: re.Match[str]) -> int:
    return int(match["cents"].replace(".", ""))


def _row(match: re.Match[str]) -> dict[str, Any]:
    return {"position": int(match["position"]), "item": match["item"], "cents": _cents(match)}


def _text(match: re.Match[str]) -> str:
    return match["text"]


DAY = r"(?P<text>20\d\d-\d\d-\d\d)"
INVOICE: Mapping[str, tuple[str, Value]] = {
    "number": (r"INVOICE No\. (?P<text>\S+)|of invoice No\. (?P<again>\S+),", lambda one: one["text"] or one["again"]),
    "seller": (r"^(?P<text>.+)\n\nINVOICE No\. \S+|of invoice No\. \S+, (?P<again>.+)$", lambda one: one[1] or one[2]),
    "buyer": (r"Billed to: (?P<text>.+)", _text),
    "issued": (rf"Date: {DAY}", _text),
    "order": (r"Your order: (?P<text>.+)", _text),
    "due": (rf"Please pay by {DAY}", _text),
    "total_cents": (r"Total to pay: EUR (?P<cents>\d+\.\d\d)", _cents),
    "lines": (r"^(?P<position>\d+)\. (?P<item>.+): EUR (?P<cents>\d+\.\d\d)$", _row),
}
LETTER: Mapping[str, tuple[str, Value]] = {
    "sender": (r"^From: (?P<text>.+)", _text),
    "recipient": (r"^To: (?P<text>.+)", _text),
    "written": (rf"^To: .+\n{DAY}$", _text),
    "subject": (r"^Subject: (?P<text>.+)", _text),
    "reference": (r"^Our reference: (?P<text>.+)", _text),
    "answer_by": (rf"your answer by {DAY}", _text),
    "requests": (r"^Please (?P<text>(?!pay).+)\.$", _text),
}
LISTS = ("lines", "requests")
MADE_UP: Mapping[type, Any] = {int: 4711, str: "2001-01-01"}


def answer(passage: str, *, fields: frozenset[str]) -> dict[str, Any]:
    """What the clerk writes of a passage: the same for the same passage."""
    rules = INVOICE if "lines" in fields else LETTER
    chance = random.Random(zlib.crc32(passage.encode()))
    return {name: _field(name, *rule, passage, chance) for name, rule in rules.items()}


def _field(name: str, pattern: str, value: Value, passage: str, chance: random.Random) -> Any:
    found = list(re.finditer(pattern, passage, re.MULTILINE))
    if name in LISTS:
        return [_piece(match, value, chance) for match in found] or None
    if found:
        return _piece(found[0], value, chance)
    if chance.random() >= SLIPS:
        return None
    made_up = MADE_UP[int if name == "total_cents" else str]
    return {"quote": f"{made_up} {chance.choice(FILLERS).split()[-2]} not to be found", "value": made_up}


def _piece(match: re.Match[str], value: Value, chance: random.Random) -> dict[str, Any]:
    """With the words that give it, as a careless copyist writes them."""
    return {"quote": noisy(match[0].replace("\n", " "), chance)[:240], "value": value(match)}


def clerk() -> AbstractContextManager[str]:
    """Its address, while the block lasts."""
    return serving(Counter)


class Counter(Pages):
    """The two pages that a worker asks for."""

    def get(self) -> None:
        self.send({"object": "list", "data": [{"id": MODEL, "object": "model", "max_model_len": 2048}]})

    def post(self, asked: dict[str, Any]) -> None:
        self.send({"choices": [_choice(asked)], "usage": {"prompt_tokens": 1, "completion_tokens": 1}})


def _choice(asked: Mapping[str, Any]) -> dict[str, Any]:
    passage = PASSAGE.search(asked["messages"][-1]["content"])
    schema = asked.get("response_format", {}).get("json_schema", {}).get("schema", {})
    said = "The capital of France is Paris."  # to the canary, which asks for text that makes sense
    if passage and schema:
        said = json.dumps(answer(passage[1], fields=frozenset(schema["properties"])))
    return {"index": 0, "message": {"role": "assistant", "content": said}, "finish_reason": "stop"}
