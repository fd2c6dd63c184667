"""LangChain and LiteLLM ask the service unmodified: nobody told them that it is not OpenAI."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

from tests.clients.conftest import HERE, PLACE
from tests.front import MODEL

PYTHON = PLACE / "bin" / "python"
OFFLINE = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LANGSMITH_TRACING": "false"}


def told_by(script: str, service: str) -> dict[str, Any]:
    """What a client got, from its own process in its own environment."""
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | OFFLINE
    ended = subprocess.run(
        [str(PYTHON), str(HERE / script), service, MODEL],
        env=environ,
        cwd=Path.home(),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    told: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])
    return told


def check(told: dict[str, Any]) -> None:
    """The same text whole and in pieces, its tokens counted, vectors, and an unknown model as the error that it is."""
    assert told["whole"] == told["streamed"] != ""
    assert told["pieces"] >= 2
    assert (told["finish"], told["usage"]["output_tokens"]) == ("length", 12)
    assert told["usage"]["total_tokens"] > 12
    assert told["vectors"][0] == told["vectors"][1] > 0


def test_langchain_gets_answers_streams_vectors_tools_and_its_own_errors(service: str) -> None:
    """A tool that must be called is; and the last piece of a stream says what all of it took."""
    told = told_by("langchain_asks.py", service)
    check(told)
    assert told["refused"] == "model_not_found"
    assert told["called"] == ["look_up"]
    assert told["streamed_usage"] == told["usage"]


def test_litellm_gets_answers_streams_vectors_and_its_own_errors(service: str) -> None:
    """By the prefix that it has for servers that speak as OpenAI's does."""
    told = told_by("litellm_asks.py", service)
    check(told)
    assert told["refused"] == "NotFoundError"
