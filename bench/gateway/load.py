"""Clients that cost little: `python -m bench.gateway.load URL …` asks and prints one JSON object of what it saw.

A process of its own, so that nothing else of the benchmark shares its interpreter. It writes HTTP itself and has it
parsed in C: some 50 us a request, where httpx takes 600 and would be most of what is measured.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from urllib.parse import urlsplit

import httptools
import uvloop

from bench.prompts import prompts

TEXT = re.compile(rb'"content":\s*"[^"]')
PROMPTS = 64
"""Different ones, asked in turn."""


@dataclass(slots=True)
class Seen:
    """What a run saw; latencies in seconds, in no order."""

    latency_s: list[float] = field(default_factory=list)
    first_s: list[float] = field(default_factory=list)
    """To the first text of a streamed answer."""
    took_s: float = 0.0
    cpu_s: float = 0.0
    """What the clients themselves used."""


class Client(asyncio.Protocol):
    """One connection with one request on it at a time."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._parser: httptools.HttpResponseParser | None = None
        self._done: asyncio.Future[None] = self._loop.create_future()
        self.first_s = 0.0
        self._begin_s = 0.0
        self._body = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: asyncio.WriteTransport = transport  # type: ignore[assignment] # of a stream it always is one

    def connection_lost(self, error: Exception | None) -> None:
        if not self._done.done():
            self._done.set_exception(ConnectionError(f"the connection ended: {error or 'closed'}"))

    def data_received(self, data: bytes) -> None:
        if self._parser is None:
            return
        if not self.first_s and TEXT.search(data):
            self.first_s = time.perf_counter() - self._begin_s
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._end(error)

    def on_body(self, piece: bytes) -> None:
        self._body += piece

    def on_message_complete(self) -> None:
        parser = self._parser
        status = parser.get_status_code() if parser else 0
        said = bytes(self._body[:300])
        wrong = status != 200 or not TEXT.search(self._body)
        self._end(ValueError(f"HTTP {status}: {said!r}") if wrong else None)

    async def ask(self, request: bytes) -> float:
        """Seconds until the answer is whole; `first_s` until its first text. Raises ValueError or ConnectionError."""
        self._parser, self._body = httptools.HttpResponseParser(self), bytearray()
        self._done = self._loop.create_future()
        self.first_s, self._begin_s = 0.0, time.perf_counter()
        self._transport.write(request)
        await self._done
        return time.perf_counter() - self._begin_s

    def close(self) -> None:
        self._done.cancel()
        self._transport.close()

    def _end(self, error: Exception | None) -> None:
        if self._done.done():
            return
        if error is None:
            self._done.set_result(None)
        else:
            self._done.set_exception(error)


def requests_for(url: str, *, model: str, tokens: int, stream: bool) -> list[bytes]:
    """As they go over the wire."""
    place = urlsplit(url)
    asked = [prompt.theirs(model, priority=0) for prompt in prompts(PROMPTS, output_tokens=tokens)]
    for body in asked:
        del body["priority"]
        if stream:
            body["stream"] = True
    head = f"POST {place.path} HTTP/1.1\r\nhost: {place.netloc}\r\nauthorization: Bearer none\r\n"
    bodies = [json.dumps(body).encode() for body in asked]
    return [f"{head}content-type: application/json\r\ncontent-length: {len(b)}\r\n\r\n".encode() + b for b in bodies]


async def load(url: str, asked: Sequence[bytes], *, clients: int, requests: int) -> Seen:
    """`requests` in all, by so many clients at a time; each asks once before it counts.

    Raises ValueError for an answer that is none, ConnectionError.
    """
    place, loop = urlsplit(url), asyncio.get_running_loop()
    host, port = place.hostname or "", place.port or 80
    lines = [(await loop.create_connection(Client, host, port))[1] for _ in range(clients)]
    try:
        await asyncio.gather(*(line.ask(asked[0]) for line in lines))
        return await _counted(lines, asked, requests)
    finally:
        for line in lines:
            line.close()


async def _counted(lines: Sequence[Client], asked: Sequence[bytes], requests: int) -> Seen:
    left, seen = iter(range(requests)), Seen()

    async def one_after_the_other(line: Client) -> None:
        for number in left:
            seen.latency_s.append(await line.ask(asked[number % len(asked)]))
            seen.first_s.append(line.first_s)

    begin_s, cpu_s = time.perf_counter(), time.process_time()
    await asyncio.gather(*map(one_after_the_other, lines))
    seen.took_s, seen.cpu_s = time.perf_counter() - begin_s, time.process_time() - cpu_s
    return seen


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.gateway.load")
    parser.add_argument("url", help="of the route that is asked")
    parser.add_argument("--model", default="fake")
    parser.add_argument("--clients", type=int, default=1)
    parser.add_argument("--requests", type=int, default=200)
    parser.add_argument("--tokens", type=int, default=16)
    parser.add_argument("--stream", action="store_true")
    told = parser.parse_args()
    asked = requests_for(told.url, model=told.model, tokens=told.tokens, stream=told.stream)
    try:
        seen = uvloop.run(load(told.url, asked, clients=told.clients, requests=told.requests))
    except (ValueError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    print(json.dumps(asdict(seen)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
