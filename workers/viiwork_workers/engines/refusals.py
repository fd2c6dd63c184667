"""Why an engine refuses a request, in our words. Pure."""

from __future__ import annotations

import json
from collections.abc import Collection

from viiwork.errors import EngineFault, JobRefused
from viiwork_workers.engines.dialects import Ask
from viiwork_workers.engines.meanings import LONGEST_REASON, MEANINGS, SHORTEN, WHICH_MODEL

REFUSED = frozenset({400, 404, 405, 413, 422, 501})
"""The job's own fault; 501 is llama.cpp's "this server does not support embeddings"."""
KEY_WRONG = frozenset({401, 403})


def refusal(status: int, body: bytes, *, ask: Ask) -> JobRefused:
    """Why the engine refused what it was asked with this status."""
    if ask.endpoint == "embedding" and status in (404, 405, 501):
        return JobRefused(
            "this model makes no embeddings.", hint="Ask an embedding model.", code="unsupported_task", param="kind"
        )
    reason = _reason(body)
    for meaning in MEANINGS:
        if (refused := meaning.of(reason, ask.body)) is not None:
            return refused
    if status == 404:
        return JobRefused(
            "the engine does not know the model under this name.",
            hint=WHICH_MODEL,
            code="model_not_found",
            param="model",
        )
    if status == 413:
        return JobRefused("the request is too large for the engine.", hint=SHORTEN, code="too_large")
    return JobRefused(
        f"the engine refused the request (HTTP {status}).",
        hint="A field of it is not as this engine wants it; its log, on the worker's machine, may say which.",
        code="invalid_request",
        param=_field(body, ask.body),
    )


def key_wrong(status: int) -> EngineFault:
    """The server does not take the worker's key: nobody's job is at fault."""
    return EngineFault(
        f"the engine does not take the key that the worker shows (HTTP {status}).",
        hint="Put the right one into the file that `engine.key_file` names, and restart the worker.",
    )


def _reason(body: bytes) -> str:
    """The engine's own words: OpenAI's `error.message`, TGI's `error`, MLC-LLM's `message`, FastAPI's `detail`."""
    said = _said(body)
    return str(said.get("message", said) if isinstance(said, dict) else said)[:LONGEST_REASON]


def _field(body: bytes, fields: Collection[str]) -> str | None:
    """The field that the engine names (vLLM: `body.temperature`), when it is one that we sent."""
    said = _said(body)
    named = str(said.get("param") or "").removeprefix("body.") if isinstance(said, dict) else ""
    return named if named in fields else None


def _said(body: bytes) -> object:
    try:
        said = json.loads(body)
    except (ValueError, RecursionError):
        return body[:LONGEST_REASON].decode("utf-8", "replace")
    return said.get("error", said) if isinstance(said, dict) else said  # MLC-LLM's is JSON within JSON: a string
