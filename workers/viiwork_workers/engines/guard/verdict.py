"""What an engine's answer to a test request is worth. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite
from typing import Any, Literal

from viiwork_workers.engines.guard.canary import verdict
from viiwork_workers.engines.guard.http import Reply

Sense = Literal["sane", "garbage", "broken", "silent", "unsure"]
"""unsure: one answer was odd, and there was none to the question after it."""
SAID_IN = ("reasoning_content", "reasoning", "content", "refusal", "text")
"""A model that thinks first may not have come further."""
FULL = frozenset({408, 429, 503})
"""It has other things to do just now."""


@dataclass(frozen=True, slots=True)
class Canary:
    """What came of the canary; `why` in our own words, unless it is sane."""

    sense: Sense
    why: str = ""
    unseen: bool = False
    """It wrote something that its server did not pass on: thoughts, mostly."""


def judged(reply: Reply, *, expect: str) -> Canary:
    """What an answer to the canary is worth."""
    if reply.status == 0 or reply.status in FULL:
        return Canary("silent", "it does not answer a test request")
    if not reply.fine:
        return Canary("broken", f"it answers a test request with HTTP {reply.status}")
    body = reply.json()
    if not isinstance(body, dict) or body.get("error"):
        return Canary("broken", "it answers a test request with an error")
    vector = _first(body.get("data")).get("embedding")
    if vector is not None:
        return _as_canary(_odd_vector(vector))
    choice = _first(body.get("choices"))
    said = choice.get("message")
    said = said if isinstance(said, dict) else choice
    text = "".join(part for name in SAID_IN if isinstance(part := said.get(name), str))
    if not text.strip() and said.get("tool_calls"):
        return Canary("sane")
    unseen = not text.strip() and choice.get("finish_reason") == "length"
    return _as_canary(verdict(text, expect=expect), unseen=unseen)


def _as_canary(why: str, *, unseen: bool = False) -> Canary:
    if not why:
        return Canary("sane")
    return Canary("garbage", f"its answer to a test request makes no sense: {why}", unseen)


def _first(items: object) -> dict[str, Any]:
    return items[0] if isinstance(items, list) and items and isinstance(items[0], dict) else {}


def _odd_vector(vector: object) -> str:
    if not isinstance(vector, list) or not all(isinstance(part, float | int) and _finite(part) for part in vector):
        return "its vector holds what is no number"
    return "" if len(set(vector)) > 1 else "its vector is the same number over and over"


def _finite(number: float) -> bool:
    try:
        return isfinite(number)
    except OverflowError:  # a whole number with hundreds of digits
        return False
