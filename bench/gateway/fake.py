"""An OpenAI-speaking engine that answers at once: `python -m bench.gateway.fake` prints its port and serves until told.

What stands before an engine is measured, so it must not cost what they cost: one process, one loop in C, whole answers
written beforehand, about 40 us a request.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass

import httptools
import uvloop

WORDS = ("On", "a", "clear", "day", "the", "sky", "is", "blue")
PROMPT_TOKENS = 64
CREATED = 1_767_225_600
JSON, EVENTS, PLAIN = b"application/json", b"text/event-stream", b"text/plain"
METRICS = "vllm:num_requests_running 0\nvllm:num_requests_waiting 0\nvllm:generation_tokens_total {said}\n"


@dataclass(frozen=True, slots=True)
class Script:
    """What it says, and when."""

    model: str
    tokens: int
    """In each answer."""
    delay_s: float
    """Before a whole answer, and before the first token of a streamed one."""
    each_s: float
    """Between two tokens of a streamed answer."""

    @property
    def usage(self) -> Mapping[str, int]:
        total = PROMPT_TOKENS + self.tokens
        return {"prompt_tokens": PROMPT_TOKENS, "completion_tokens": self.tokens, "total_tokens": total}

    @property
    def texts(self) -> list[str]:
        return [f"{WORDS[number % len(WORDS)]} " for number in range(self.tokens)]

    def whole(self) -> bytes:
        """A chat completion."""
        message = {"role": "assistant", "content": "".join(self.texts)}
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
        return _json({**self._head("chat.completion"), "choices": [choice], "usage": self.usage})

    def pieces(self) -> list[bytes]:
        """Its events when it is streamed, one a token: the role goes with the first, the end with the last."""
        deltas: list[dict[str, str]] = [{"content": text} for text in self.texts]
        deltas[0] = {"role": "assistant"} | deltas[0]
        events = [self._event([{"index": 0, "delta": delta, "finish_reason": None}]) for delta in deltas]
        end = self._event([{"index": 0, "delta": {}, "finish_reason": "stop"}]) + self._event([], usage=self.usage)
        return [*events[:-1], events[-1] + end + b"data: [DONE]\n\n"]

    def models(self) -> bytes:
        """The list of one."""
        model = {"id": self.model, "object": "model", "created": CREATED, "owned_by": "bench", "max_model_len": 8192}
        return _json({"object": "list", "data": [model]})

    def _event(self, choices: list[dict[str, object]], **more: object) -> bytes:
        return b"data: " + _json({**self._head("chat.completion.chunk"), "choices": choices, **more}) + b"\n\n"

    def _head(self, kind: str) -> dict[str, object]:
        return {"id": "chatcmpl-fake", "object": kind, "created": CREATED, "model": self.model}


class Engine:
    """What all connections share: the answers as they are sent, and how many tokens were said."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.whole = framed(JSON, script.whole())
        self.models = framed(JSON, script.models())
        self.head = _head(EVENTS, b"transfer-encoding: chunked")
        self.pieces = [chunked(piece) for piece in script.pieces()]
        self._said = 0

    def count(self) -> None:
        self._said += self.script.tokens

    def metrics(self) -> bytes:
        return framed(PLAIN, METRICS.format(said=self._said).encode())


class Conversation(asyncio.Protocol):
    """One connection, one request after the other."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._loop = asyncio.get_running_loop()
        self._parser = httptools.HttpRequestParser(self)
        self._url, self._body = b"", bytearray()
        self._next: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: asyncio.WriteTransport = transport  # type: ignore[assignment] # of a stream it always is one

    def connection_lost(self, error: Exception | None) -> None:  # noqa: ARG002 - the signature of a protocol
        if self._next is not None:
            self._next.cancel()

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_url(self, url: bytes) -> None:
        self._url, self._body = url, bytearray()

    def on_body(self, piece: bytes) -> None:
        self._body += piece

    def on_message_complete(self) -> None:
        engine = self._engine
        if not self._url.endswith(b"/chat/completions"):
            pages: Mapping[bytes, Callable[[], bytes]] = {
                b"/v1/models": lambda: engine.models,
                b"/metrics": engine.metrics,
            }
            self._transport.write(pages.get(self._url, lambda: framed(JSON, b"{}"))())
        elif json.loads(self._body).get("stream"):
            self._after(engine.script.delay_s, self._begin)
        else:
            engine.count()
            self._after(engine.script.delay_s, lambda: self._transport.write(engine.whole))

    def _begin(self) -> None:
        self._transport.write(self._engine.head)
        self._say(0)

    def _say(self, number: int) -> None:
        """A token, and the next one after its pause."""
        pieces = self._engine.pieces
        self._transport.write(pieces[number])
        if number + 1 < len(pieces):
            self._after(self._engine.script.each_s, lambda: self._say(number + 1))
        else:
            self._transport.write(b"0\r\n\r\n")
            self._engine.count()

    def _after(self, delay_s: float, act: Callable[[], None]) -> None:
        if delay_s:
            self._next = self._loop.call_later(delay_s, act)
        else:
            act()


def framed(kind: bytes, body: bytes) -> bytes:
    """An answer of 200 with a body of known length."""
    return _head(kind, b"content-length: %d" % len(body)) + body


def chunked(piece: bytes) -> bytes:
    """A piece of a body whose length nobody has told."""
    return b"%x\r\n%s\r\n" % (len(piece), piece)


def _head(kind: bytes, length: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\ncontent-type: %s\r\n%s\r\n\r\n" % (kind, length)


def _json(body: object) -> bytes:
    return json.dumps(body, separators=(",", ":")).encode()


async def serve(script: Script) -> None:
    """Until it is cancelled."""
    engine = Engine(script)
    server = await asyncio.get_running_loop().create_server(lambda: Conversation(engine), "127.0.0.1", 0, backlog=256)
    async with server:
        print(server.sockets[0].getsockname()[1], flush=True)
        await server.serve_forever()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.gateway.fake")
    parser.add_argument("--model", default="fake")
    parser.add_argument("--tokens", type=int, default=16)
    parser.add_argument("--delay-ms", type=float, default=0.0)
    parser.add_argument("--each-ms", type=float, default=0.0)
    told = parser.parse_args()
    with suppress(KeyboardInterrupt):
        uvloop.run(serve(Script(told.model, told.tokens, told.delay_ms / 1000, told.each_ms / 1000)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
