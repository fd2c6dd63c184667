"""What a guard asks of its engine: is it up, does it serve the model, does its text make sense, how loaded is it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Literal

from viiwork.recipes import Launch
from viiwork.recipes.meant import meant, not_served, serves
from viiwork_workers.engines.guard.canary import CANARY_TOKENS, QUESTIONS, Question
from viiwork_workers.engines.guard.frames import Load
from viiwork_workers.engines.guard.http import Line, Reply
from viiwork_workers.engines.guard.metrics import read_load
from viiwork_workers.engines.guard.verdict import Canary, judged

Standing = Literal["up", "loading", "odd", "silent", "refused"]
"""odd: it answers with a status that means neither; silent: no answer in time; refused: nothing listens there."""
NOT_ITS_KIND = frozenset({400, 404, 405, 415, 422, 501})
"""What servers answer to a request that their model cannot be asked: no chat template, no text at all."""
MODELS = "/v1/models"
REFUSES = "it refuses the key"
VERSIONS = {"vllm": ("/version", "version"), "llama.cpp": ("/props", "build_info"), "tgi": ("/info", "version")}
"""By dialect the page that tells the engine's version, and under which name. MLC-LLM's server has none."""
LONGEST_VERSION = 64
DEATH_SHOWS_S = 1.0
"""An engine that answers with errors because it is dying has died within this time."""


class Probe:
    """Asks one life of an engine. Every answer is bounded in time and size."""

    def __init__(self, launch: Launch, url: str, key: str) -> None:
        self._launch = launch
        self._line = Line(url, key)
        self.trouble = ""
        """Why its health page did not answer last: `connection refused`."""
        self.model = launch.alias
        """What it calls the model: as its list has it, where it has one."""
        self.unserved = ""
        """Why a server that somebody else runs is of no use although it answers: it does not serve the model."""
        self._listed = b""

    @property
    def trusts(self) -> bool:
        """Whether whoever answers is shown the key."""
        return self._line.trusts

    def trust(self) -> None:
        """Whoever listens there is the engine: show it the key from now on."""
        self._line.trusts = True

    async def close(self) -> None:
        await self._line.close()

    async def health(self, *, timeout_s: float) -> Standing:
        """How its health page answers."""
        reply = await self._line.get(self._launch.health, timeout_s=timeout_s)
        self.trouble = reply.why
        if self._launch.health == MODELS and reply.fine:
            self._listing(reply)
        return self._standing(reply)

    async def models(self, *, timeout_s: float) -> str:
        """Why its list of models will not do; empty when it will. A server may have none."""
        reply = await self._line.get(MODELS, timeout_s=timeout_s)
        if reply.status in (401, 403):
            return REFUSES
        if reply.status == 404:
            return ""
        return "" if reply.fine and self._listing(reply) else "it does not list its models yet"

    async def version(self, *, timeout_s: float) -> str:
        """What the program says of its version; empty where it says nothing."""
        path, field = VERSIONS.get(self._launch.dialect, ("", ""))
        reply = await self._line.get(path, timeout_s=timeout_s) if path else None
        told = reply.json() if reply is not None and reply.fine else None
        version = told.get(field) if isinstance(told, dict) else None
        return version[:LONGEST_VERSION] if isinstance(version, str) and version.isprintable() else ""

    async def load(self, *, timeout_s: float) -> Load | None:
        """What its metrics say; None when they cannot be had."""
        if self._launch.metrics is None:
            return None
        reply = await self._line.get(self._launch.metrics.path, timeout_s=timeout_s)
        return read_load(reply.body.decode("utf-8", "replace"), self._launch.metrics) if reply.fine else None

    async def canary(self, *, timeout_s: float) -> Canary:
        """Have it answer, and once more in another way when that was odd. `timeout_s` is for each answer."""
        odd: Canary | None = None
        for question in self._questions():
            reply = await self._ask(question, timeout_s=timeout_s)
            if question.plain and reply.status in NOT_ITS_KIND:
                break
            canary = judged(reply, expect=self._launch.expect)
            if canary.sense == "silent" and odd is not None:
                return replace(odd, sense="unsure")
            if canary.sense in ("sane", "silent"):
                return canary
            if canary.sense == "broken":
                await asyncio.sleep(DEATH_SHOWS_S)
            odd = replace(canary, unseen=canary.unseen and not question.plain)
        return Canary("sane") if odd is None or odd.unseen else odd

    def _questions(self) -> Iterator[Question]:
        """Who says what the answer must hold, means the answer to a question."""
        return (question for question in QUESTIONS if not (question.plain and self._launch.expect))

    async def _ask(self, question: Question, *, timeout_s: float) -> Reply:
        """In the way that it can answer: in a chat, else by completing a text, else with a vector."""
        model: dict[str, Any] = {"model": self.model}
        text = model | {"temperature": question.temperature, "seed": question.seed, "max_tokens": CANARY_TOKENS}
        text |= {"priority": -1} if self._launch.priority else {}
        completion = text | {"prompt": question.prompt}
        if question.plain:
            return await self._line.post("/v1/completions", completion, timeout_s=timeout_s)
        chat = text | {"messages": [{"role": "user", "content": question.prompt}]}
        reply = await self._line.post("/v1/chat/completions", chat, timeout_s=timeout_s)
        if reply.status in NOT_ITS_KIND:
            reply = await self._line.post("/v1/completions", completion, timeout_s=timeout_s)
        if reply.status in NOT_ITS_KIND:
            reply = await self._line.post("/v1/embeddings", model | {"input": question.prompt}, timeout_s=timeout_s)
        return reply

    def _listing(self, reply: Reply) -> bool:
        """Whether it is a list of models. In one of a server that somebody else runs, ours is looked for."""
        if reply.body == self._listed:
            return True
        listed = reply.json()
        entries = listed.get("data") if isinstance(listed, dict) else None
        if not entries:
            return False
        self._listed = reply.body
        names = names_of(entries)
        if self._launch.url and names:
            wanted = self._launch.alias
            found = meant(wanted, names)
            self.model = found or wanted
            self.unserved = "" if found else f"{not_served(self._launch.url, wanted)}. {serves(names)}"
        return True

    def _standing(self, reply: Reply) -> Standing:
        if reply.fine:
            return "up"
        if reply.status in self._launch.loading:
            return "loading"
        if reply.status:
            return "odd"
        return "refused" if reply.refused else "silent"


def names_of(entries: object) -> list[str]:
    """The models that a server lists; none where it does not name them as others do."""
    told = entries if isinstance(entries, list) else []
    return [name for entry in told if isinstance(entry, dict) and isinstance(name := entry.get("id"), str)]
