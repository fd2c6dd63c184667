"""A server that stands in for vLLM where only what is around an engine is measured: it answers alike, and at once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Any

from bench.pages import Pages, serving

MODEL = "footprint"
TEXT = "On a clear day the sky is blue."
USAGE = {"prompt_tokens": 12, "completion_tokens": 8, "total_tokens": 20}
METRICS = "vllm:num_requests_running 0\nvllm:num_requests_waiting 0\nvllm:generation_tokens_total 1\n"


class Answers(Pages):
    """The few pages that a worker and its guard ask for."""

    def get(self) -> None:
        match self.path:
            case "/v1/models":
                self.send({"object": "list", "data": [{"id": MODEL, "object": "model", "max_model_len": 8192}]})
            case "/metrics":
                self.write(METRICS.encode(), kind="text/plain")
            case _:
                self.send({})

    def post(self, asked: dict[str, Any]) -> None:
        if asked.get("stream"):
            self.write(b"".join(_events()), kind="text/event-stream")
        else:
            said = {"role": "assistant", "content": TEXT}
            self.send({"choices": [{"index": 0, "message": said, "finish_reason": "stop"}], "usage": USAGE})


def answering() -> AbstractContextManager[str]:
    """Its address, while the block lasts."""
    return serving(Answers)


def _events() -> Iterator[bytes]:
    for word in TEXT.split(" "):
        yield _event({"choices": [{"index": 0, "delta": {"content": f"{word} "}}]})
    yield _event({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    yield _event({"choices": [], "usage": USAGE})
    yield b"data: [DONE]\n\n"


def _event(body: object) -> bytes:
    return b"data: " + json.dumps(body).encode() + b"\n\n"
