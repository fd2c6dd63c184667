"""The fake engine server, where it must be as unpleasant as the real ones."""

from __future__ import annotations

import asyncio
import json
from functools import partial

import pytest

from tests.fakes.http import Connection
from tests.fakes.openai_server import FakeServer, read_options
from tests.workers import eventually


async def left(dialect: str, *, stream: bool) -> FakeServer:
    """A server whose client has gone away from its request, once nothing of it runs."""
    options = read_options(["--port", "1", "--dialect", dialect, "--token-s", "0.005"])
    fake = FakeServer(options, {})
    fake.ready = True
    server = await asyncio.get_running_loop().create_server(partial(Connection, fake._answer), "127.0.0.1", 0)
    _, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    body = json.dumps({"model": "fake", "prompt": "Go on.", "max_tokens": 60, "stream": stream}).encode()
    writer.write(b"POST /v1/completions HTTP/1.1\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body))

    async def begun() -> bool:
        return fake.slots.running == 1

    async def over() -> bool:
        return fake.slots.running == 0

    await eventually(begun)
    writer.close()
    await eventually(over)
    server.close()
    return fake


@pytest.mark.parametrize(("dialect", "stream"), [("vllm", False), ("vllm", True), ("llama.cpp", True)])
async def test_an_answer_that_nobody_waits_for_is_given_up(dialect: str, stream: bool) -> None:
    """Its slot is free at once."""
    fake = await left(dialect, stream=stream)
    assert (fake.slots.cancelled, fake.slots.finished) == (1, 0)


async def test_llama_cpp_goes_on_writing_an_answer_that_nobody_waits_for() -> None:
    """Unless it streams: measured on the real one (b11434)."""
    fake = await left("llama.cpp", stream=False)
    assert (fake.slots.cancelled, fake.slots.finished, fake.output_tokens) == (0, 1, 60)
