"""The engine's own server, driven directly: what a person has without a queue."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from itertools import count

import aiohttp

from bench.prompts import Prompt, prompts
from bench.real_server import ALIAS, RealServer
from viiwork.errors import Unavailable

BATCH, PERSON = 10, 0
"""Priorities, as our workers set them: lower is earlier."""


GENERATED = "vllm:generation_tokens_total"


class Direct:
    """A client without a queue, without a record, without a retry."""

    def __init__(self, server: RealServer, session: aiohttp.ClientSession) -> None:
        self._url = f"{server.url}/v1/chat/completions"
        self._metrics = f"{server.url}/metrics"
        self._session = session

    async def run(self, asked: list[Prompt], *, in_flight: int) -> tuple[int, float]:
        """Tokens that came, and the seconds from the first request to the last answer."""
        left, tokens, begin = iter(asked), 0, time.perf_counter()

        async def one_after_the_other() -> None:
            nonlocal tokens
            for prompt in left:
                came = await self.tokens(prompt)
                tokens += came

        await asyncio.gather(*(one_after_the_other() for _ in range(in_flight)))
        return tokens, time.perf_counter() - begin

    async def tokens(self, prompt: Prompt) -> int:
        """One request; how many tokens its answer has."""
        async with self._session.post(self._url, json=prompt.theirs(ALIAS, priority=BATCH)) as answer:
            body = await answer.json()
            if answer.status != 200:
                raise Unavailable(f"the server answered {answer.status}.")
            return int(body["usage"]["completion_tokens"])

    async def generated(self) -> int:
        """Tokens that the server has generated for anybody so far, by its own count."""
        async with self._session.get(self._metrics) as answer:
            lines = (await answer.text()).splitlines()
        return int(sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(GENERATED)))

    async def first_token_s(self, prompt: Prompt) -> float:
        """From the request to the first piece of text; the rest is read too."""
        asked = prompt.theirs(ALIAS, priority=PERSON) | {"stream": True}
        begin, first = time.perf_counter(), 0.0
        async with self._session.post(self._url, json=asked) as answer:
            async for line in answer.content:
                if not first and b'"content":"' in line and b'"content":""' not in line:
                    first = time.perf_counter() - begin
        return first or time.perf_counter() - begin

    @asynccontextmanager
    async def loaded(self, in_flight: int, *, output_tokens: int) -> AsyncIterator[None]:
        """The batch lane's load for as long as the block lasts."""
        numbers = count()

        async def for_ever() -> None:
            for number in numbers:
                await self.tokens(prompts(1, output_tokens=output_tokens, first=number)[0])

        running = [asyncio.create_task(for_ever()) for _ in range(in_flight)]
        try:
            yield
        finally:
            for task in running:
                task.cancel()
            for task in running:
                with suppress(asyncio.CancelledError):
                    await task


@asynccontextmanager
async def direct(server: RealServer) -> AsyncIterator[Direct]:
    """As many connections as there are requests."""
    headers = {"Authorization": f"Bearer {server.key}"}
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, headers=headers, trust_env=False) as session:
        yield Direct(server, session)
