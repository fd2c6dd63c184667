"""A fake engine: `python -m tests.fakes.openai_server --port N --dialect vllm --model ALIAS`. It speaks as a real one.

Same question, same text. What may be made to go wrong stands in `faults`, what it has seen at `/fake/state`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from tests.fakes.dialects import DIALECTS, Load
from tests.fakes.faults import HEALTHY, LOADING, LOGS, SERVING, Fault, begin_life, marked
from tests.fakes.http import Connection, Reply, Request
from tests.fakes.slots import Slots
from tests.fakes.speech import Speech, embedding_answer, make_speech
from tests.fakes.words import tokens, vector

ENDPOINTS = {"/v1/chat/completions": "chat", "/v1/completions": "completion", "/v1/embeddings": "embedding"}
DIMENSIONS = 16


class FakeServer:
    """One life of it."""

    def __init__(self, options: argparse.Namespace, environ: Mapping[str, str]) -> None:
        self.options = options
        self.dialect = DIALECTS[options.dialect]
        self.key = environ.get(self.dialect.key_env, "") if self.dialect.key_env else ""
        self.slots = Slots(options.slots)
        self.script: dict[str, str] = json.loads(options.script.read_text("utf-8")) if options.script else {}
        self.life = begin_life(options.scratch)
        self.standing = options.fault if options.fault and self.life <= options.fault_lives else ""
        self.ready = False
        self.hangs = False
        self.requests = 0
        self.prompt_tokens = 0
        self.output_tokens = 0

    async def run(self) -> None:
        """Load, then serve until a signal."""
        loop = asyncio.get_running_loop()
        over = asyncio.Event()
        loop.add_signal_handler(signal.SIGTERM, over.set)
        loading = self.options.loading or self.dialect.loading
        if loading == "refused":
            await self._load()
        make = partial(Connection, self._answer)
        server = await loop.create_server(make, "127.0.0.1", self.options.port)
        print(f"fake {self.dialect.name} server, life {self.life}, on port {self.options.port}", flush=True)
        if loading != "refused":
            await self._load()
        self.ready = True
        await over.wait()
        server.close()

    async def _load(self) -> None:
        if self.standing.startswith("loading-"):
            await asyncio.sleep(self.options.load_s / 2)
            await self._fall(self.standing.removeprefix("loading-"))
        await asyncio.sleep(self.options.load_s)

    async def _fall(self, name: str) -> None:
        """The end, or worse."""
        if name == "freeze":
            time.sleep(3600)
        if name == "hang":
            self.hangs = True
            await asyncio.Event().wait()
        sys.stderr.write(LOGS[name])
        sys.stderr.flush()
        os._exit(1)

    async def _answer(self, request: Request, reply: Reply) -> None:
        if not self.ready and (self.options.loading or self.dialect.loading) == "silent":
            await asyncio.Event().wait()
        if request.path == "/fake/state":
            return reply.send(200, self.state())
        if not self.ready:
            return reply.send(*self.dialect.error(503, "Loading model", "unavailable_error"))
        if not self._may(request):
            return reply.send(*self.dialect.wrong_key())
        if request.path in ENDPOINTS and request.method == "POST":
            return await self._generate(ENDPOINTS[request.path], request, reply)
        return self._page(request.path, reply)

    def _may(self, request: Request) -> bool:
        shown = request.headers.get("authorization")
        return not self.key or not self.dialect.key_needed(request.path) or shown == f"Bearer {self.key}"

    def _page(self, path: str, reply: Reply) -> None:
        if path == "/health" and self.dialect.health:
            reply.send(200, "")
        elif path == "/v1/models":
            listed = {"id": self.options.model, "object": "model", "owned_by": "fake"}
            reply.send(200, {"object": "list", "data": [listed | {"max_model_len": self.options.context}]})
        elif path == "/metrics":
            reply.send(200, self.dialect.metrics(self._load_now()), kind="text/plain")
        elif path == self.dialect.tells[0]:
            reply.send(200, {self.dialect.tells[1]: self.dialect.tells[2]})
        else:
            reply.send(*self.dialect.error(404, "Not Found"))

    async def _generate(self, endpoint: str, request: Request, reply: Reply) -> None:
        self.requests += 1
        try:
            body: dict[str, Any] = request.json()
        except ValueError:
            return reply.send(*self.dialect.bad_json())
        if self.dialect.knows_its_model and body.get("model") != self.options.model:
            return reply.send(*self.dialect.unknown_model(str(body.get("model")), self.options.model))
        if endpoint == "embedding":
            return self._embed(body, reply)
        speech = make_speech(body, endpoint, dialect=self.dialect, default_tokens=self.options.context // 4)
        speech = speech.scripted(self.script)
        if (refusal := self._refusal(speech)) is not None:
            return reply.send(*refusal)
        fault = marked(speech.prompt, scratch=self.options.scratch)
        if fault is HEALTHY and self.standing in SERVING:
            fault = Fault(self.standing)
        written = asyncio.create_task(self._write(speech, fault, reply, priority=int(body.get("priority", 0))))
        try:
            await asyncio.shield(written)
        except asyncio.CancelledError:
            if self.dialect.sees_who_leaves or speech.streams:
                written.cancel()
            await asyncio.gather(written, return_exceptions=True)
            raise
        return None

    async def _write(self, speech: Speech, fault: Fault, reply: Reply, *, priority: int) -> None:
        async with self.slots.one(priority):
            self.prompt_tokens += speech.prompt_tokens
            await self._speak(speech.struck(fault.name), fault, reply)

    def _refusal(self, speech: Speech) -> tuple[int, dict[str, Any]] | None:
        counted = speech.max_tokens if self.dialect.counts_output else 0
        if speech.prompt_tokens + counted > self.options.context:
            return self.dialect.too_long(speech.prompt_tokens, speech.max_tokens, self.options.context)
        return None

    async def _speak(self, speech: Speech, fault: Fault, reply: Reply) -> None:
        if fault.name.isdigit():
            return reply.send(*self.dialect.error(int(fault.name), "fake: it fails", "server_error"))
        if speech.streams:
            reply.open()
            speech.begin(reply)
        for number, token in enumerate(speech.tokens):
            if number == fault.after_tokens and await self._strike(fault.name, speech, reply):
                return None
            await self._pace()
            self.output_tokens += 1
            if speech.streams:
                speech.say(token, number, reply)
        return speech.end(reply)

    async def _pace(self) -> None:
        await asyncio.sleep(self.options.token_s)
        while self.hangs:
            await asyncio.sleep(0.05)

    async def _strike(self, name: str, speech: Speech, reply: Reply) -> bool:
        """Whether that was the end of the answer."""
        if name in ("die", "out-of-memory", "hang", "freeze"):
            await self._fall(name)
        elif name == "cut":
            reply.cut()
        elif name == "bad-json":
            speech.spoil(reply)
        elif name == "error":
            speech.break_off(self.dialect.broken("fake: the engine gave up"), reply)
        return name in ("cut", "bad-json", "error")

    def _embed(self, body: dict[str, Any], reply: Reply) -> None:
        if not self.options.embeds:
            return reply.send(*self.dialect.no_embeddings())
        texts = [body["input"]] if isinstance(body["input"], str) else body["input"]
        count = sum(len(tokens(text)) for text in texts)
        self.prompt_tokens += count
        vectors = [vector(text, body.get("dimensions") or DIMENSIONS) for text in texts]
        return reply.send(200, embedding_answer(vectors, model=self.options.model, prompt_tokens=count))

    def _load_now(self) -> Load:
        slots = self.slots
        counts = (slots.running, slots.waiting, slots.count, 0, self.prompt_tokens, self.output_tokens)
        return Load(self.options.model, *counts)

    def state(self) -> dict[str, Any]:
        """What it has seen in this life."""
        return {
            "fake": True,
            "life": self.life,
            "pid": os.getpid(),
            "requests": self.requests,
            "most_running": self.slots.most_running,
            "finished": self.slots.finished,
            "cancelled": self.slots.cancelled,
            "priorities": self.slots.priorities,
            **asdict(self._load_now()),
        }


def read_options(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="A fake engine server.", allow_abbrev=False)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--dialect", choices=DIALECTS, default="openai")
    parser.add_argument("--model", default="fake", help="the alias it serves")
    parser.add_argument("--slots", type=int, default=4)
    parser.add_argument("--context", type=int, default=4096)
    parser.add_argument("--load-s", type=float, default=0.0)
    parser.add_argument("--token-s", type=float, default=0.0, help="a token takes so long")
    parser.add_argument("--loading", choices=("503", "refused", "silent"), help="else as its dialect does")
    parser.add_argument("--embeds", action="store_true")
    parser.add_argument("--script", type=Path, help="JSON: whose prompt holds the name is answered with the text")
    parser.add_argument("--scratch", type=Path, help="a folder that counts its lives")
    parser.add_argument("--fault", choices=[*SERVING, *(f"loading-{name}" for name in LOADING)], default="")
    parser.add_argument("--fault-lives", type=int, default=1 << 30, help="only in so many lives, the first ones")
    return parser.parse_args(argv)


def main() -> int:
    try:
        asyncio.run(FakeServer(read_options(), os.environ).run())
    except OSError as error:  # a port that is really taken: "address already in use"
        print(f"OSError: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
