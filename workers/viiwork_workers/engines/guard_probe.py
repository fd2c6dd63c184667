"""What a guard asks of its engine: is it up, does it serve the model, does its text make sense, how loaded is it."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite
from typing import Any, Literal

from viiwork.recipes import Launch
from viiwork_workers.engines.canary import CANARY_PROMPT, CANARY_TOKENS, verdict
from viiwork_workers.engines.guard_frames import Load
from viiwork_workers.engines.guard_http import Line, Reply
from viiwork_workers.engines.guard_metrics import read_load

Standing = Literal["up", "loading", "odd", "silent", "refused"]
"""odd: it answers with a status that means neither; silent: no answer in time; refused: nothing listens there."""
Sense = Literal["sane", "garbage", "broken", "silent"]
NOT_ITS_KIND = frozenset({400, 404, 405, 415, 422, 501})
"""What servers answer to a request that their model cannot be asked: no chat template, no text at all."""
FULL = frozenset({408, 429, 503})
"""It has other things to do just now."""
SAMPLING = {"temperature": 1, "seed": 7, "max_tokens": CANARY_TOKENS}


@dataclass(frozen=True, slots=True)
class Canary:
    """What came of the canary; `why` in our own words, unless it is sane."""

    sense: Sense
    why: str = ""


class Probe:
    """Asks one life of an engine. Every answer is bounded in time and size."""

    def __init__(self, launch: Launch, url: str, key: str) -> None:
        self._launch = launch
        self._line = Line(url, key)

    async def close(self) -> None:
        await self._line.close()

    async def health(self, *, timeout_s: float) -> Standing:
        """How its health page answers."""
        return self._standing(await self._line.get(self._launch.health, timeout_s=timeout_s))

    async def models(self, *, timeout_s: float) -> str:
        """Why its list of models will not do; empty when it will. A server may have none."""
        reply = await self._line.get("/v1/models", timeout_s=timeout_s)
        if reply.status in (401, 403):
            return "it refuses the key"
        if reply.status == 404:
            return ""
        listed = reply.json() if reply.fine else None
        return "" if isinstance(listed, dict) and listed.get("data") else "it does not list its models yet"

    async def load(self, *, timeout_s: float) -> Load | None:
        """What its metrics say; None when they cannot be had."""
        if self._launch.metrics is None:
            return None
        reply = await self._line.get(self._launch.metrics.path, timeout_s=timeout_s)
        return read_load(reply.body.decode("utf-8", "replace"), self._launch.metrics) if reply.fine else None

    async def canary(self, *, timeout_s: float) -> Canary:
        """Have it answer in the way it can: in a chat, else by completing a text, else with a vector."""
        model: dict[str, Any] = {"model": self._launch.alias}
        text = model | SAMPLING | ({"priority": -1} if self._launch.priority else {})
        chat = text | {"messages": [{"role": "user", "content": CANARY_PROMPT}]}
        reply = await self._line.post("/v1/chat/completions", chat, timeout_s=timeout_s)
        if reply.status in NOT_ITS_KIND:
            reply = await self._line.post("/v1/completions", text | {"prompt": CANARY_PROMPT}, timeout_s=timeout_s)
        if reply.status in NOT_ITS_KIND:
            reply = await self._line.post("/v1/embeddings", model | {"input": CANARY_PROMPT}, timeout_s=timeout_s)
        return judged(reply, expect=self._launch.expect)

    def _standing(self, reply: Reply) -> Standing:
        if reply.fine:
            return "up"
        if reply.status in self._launch.loading:
            return "loading"
        if reply.status:
            return "odd"
        return "refused" if reply.refused else "silent"


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
    why = _odd_vector(vector) if vector is not None else verdict(_text(body), expect=expect)
    return Canary("garbage", f"its answer to a test request makes no sense: {why}") if why else Canary("sane")


def _text(body: dict[str, Any]) -> str:
    """Of a chat's or a completion's first choice; a model that thinks first may not have come further."""
    choice = _first(body.get("choices"))
    message = choice.get("message")
    said = message if isinstance(message, dict) else choice
    parts = (said.get(name) for name in ("reasoning_content", "reasoning", "content", "text"))
    return "".join(part for part in parts if isinstance(part, str))


def _first(items: object) -> dict[str, Any]:
    return items[0] if isinstance(items, list) and items and isinstance(items[0], dict) else {}


def _odd_vector(vector: object) -> str:
    if not isinstance(vector, list) or not all(isinstance(part, float | int) and isfinite(part) for part in vector):
        return "its vector holds what is no number"
    return "" if len(set(vector)) > 1 else "its vector is the same number over and over"
