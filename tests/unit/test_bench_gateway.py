"""What the benchmark of the front door stands on: an engine that costs nothing, clients that cost little, sums."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator

import httpx
import pytest

from bench.gateway.fake import PROMPT_TOKENS
from bench.gateway.load import Seen, load, requests_for
from bench.gateway.scenario import GOALS, KINDS, Run, Runs, figures_of
from bench.report import Report

TOKENS = 5


@pytest.fixture(scope="module")
def engine() -> Iterator[str]:
    """The stand-in engine's address."""
    argv = [sys.executable, "-m", "bench.gateway.fake", "--model", "m", "--tokens", str(TOKENS), "--each-ms", "1"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        process.terminate()


def test_the_engine_answers_whole_and_in_pieces_and_tells_what_it_said(engine: str) -> None:
    """As vLLM does, as far as a worker, its guard and other gateways ask."""
    asked = {"model": "m", "messages": [{"role": "user", "content": "Hello"}]}
    with httpx.Client(base_url=engine, trust_env=False) as http:
        assert http.get("/v1/models").json()["data"][0]["id"] == "m"
        whole = http.post("/v1/chat/completions", json=asked).json()
        pieces = http.post("/v1/chat/completions", json=asked | {"stream": True}).text
        said = http.get("/metrics").text
    assert whole["usage"] == {
        "prompt_tokens": PROMPT_TOKENS,
        "completion_tokens": TOKENS,
        "total_tokens": PROMPT_TOKENS + TOKENS,
    }
    events = [json.loads(line[6:]) for line in pieces.splitlines() if line.startswith("data: {")]
    texts = [event["choices"][0]["delta"].get("content", "") for event in events if event["choices"]]
    assert "".join(texts) == whole["choices"][0]["message"]["content"]
    assert sum(map(bool, texts)) == TOKENS
    assert f"vllm:generation_tokens_total {2 * TOKENS}" in said


@pytest.mark.parametrize("stream", [False, True])
async def test_the_clients_ask_as_often_as_they_were_told(engine: str, stream: bool) -> None:
    """And know of each answer how long it and its first text took."""
    asked = requests_for(f"{engine}/v1/chat/completions", model="m", tokens=TOKENS, stream=stream)
    seen = await load(f"{engine}/v1/chat/completions", asked, clients=3, requests=10)
    assert (len(seen.latency_s), len(seen.first_s)) == (10, 10)
    assert all(0 < first <= whole for first, whole in zip(seen.first_s, seen.latency_s, strict=True))


async def test_an_answer_that_is_none_stops_the_clients(engine: str) -> None:
    """A gateway that refuses quickly must not look like a quick one."""
    with pytest.raises(ValueError, match="HTTP 200"):
        await load(engine, requests_for(f"{engine}/nothing", model="m", tokens=1, stream=False), clients=1, requests=1)


async def test_a_connection_that_ends_stops_the_clients() -> None:
    """Else they would wait for ever."""

    async def hang_up(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server:
        with pytest.raises(ConnectionError):
            await load(url, requests_for(f"{url}/v1", model="m", tokens=1, stream=False), clients=1, requests=1)


def ran(latency_ms: float, *, first_ms: float = 1.0, requests: int = 100, took_s: float = 1.0) -> Run:
    """A run in which every request took the same."""
    seen = Seen([latency_ms / 1000] * requests, [first_ms / 1000] * requests, took_s)
    return Run(seen, {"engine": 50.0, "proxy": 4000.0, "api": 1000.0, "worker": 700.0, "redis": 300.0})


def test_what_is_added_is_told_round_by_round_beside_the_other() -> None:
    """The direct call of the same round is taken off; speeds are compared by the same rounds too."""
    runs: Runs = {
        "one": {"direct": [ran(1), ran(2)], "litellm": [ran(5), ran(10)], "ours": [ran(3), ran(6)]},
        "many": {"direct": [ran(1)] * 2, "litellm": [ran(1, took_s=4)] * 2, "ours": [ran(1, took_s=2)] * 2},
        "stream": {
            "direct": [ran(9, first_ms=1)] * 2,
            "litellm": [ran(9, first_ms=8)] * 2,
            "ours": [ran(9, first_ms=4)] * 2,
        },
    }
    told = Report("gateway", figures_of(runs), GOALS).as_dict()
    figures = told["figures"]
    assert (figures["ours_added_p50_ms"], figures["litellm_added_p50_ms"]) == (3, 6)
    assert figures["added_p50_over_litellm"] == 0.5
    assert figures["requests_per_second_over_litellm"] == 2
    assert figures["added_first_token_p50_ms"] == 3
    assert figures["cpu_over_litellm"] == 0.5
    assert all(goal["reached"] for goal in told["goals"])
    assert {kind.name for kind in KINDS} == set(runs)
