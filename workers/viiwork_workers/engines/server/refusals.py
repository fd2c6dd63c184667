"""Why an engine refuses a request, in our words. Pure."""

from __future__ import annotations

import json
from collections.abc import Collection

from viiwork.abilities import UNABLE
from viiwork.errors import Busy, EngineFault, JobRefused
from viiwork_workers.engines.server.dialects import Ask
from viiwork_workers.engines.server.meanings import LONGEST_REASON, MEANINGS, OWN_DOING, SHORTEN, WHICH_MODEL

REFUSED = frozenset({400, 404, 405, 413, 422, 501})
"""The job's own fault; 501 is llama.cpp's "this server does not support embeddings"."""
KEY_WRONG = frozenset({401, 403})
NO_ROOM = frozenset({429, 503})
"""Nobody's fault: it has too much to do now, or is not there yet."""
BUSY_S = 2.0
LONGEST_BUSY_S = 30.0


def refusal(status: int, body: bytes, *, ask: Ask) -> JobRefused:
    """Why the engine refused what it was asked with this status."""
    if ask.endpoint == "embedding" and status in (404, 405, 501):
        return JobRefused("this model makes no embeddings.", hint="Ask an embedding model.", code=UNABLE, param="kind")
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


def own_doing(said: object, *, ask: Ask) -> JobRefused | None:
    """Why it was the answer that failed and not the engine, if an engine that fails says so: in the body of an HTTP 500
    (bytes), or in an event of its stream."""
    reason = _words(_inner(said) if isinstance(said, dict) else _said(said) if isinstance(said, bytes) else "")
    return next((found for meaning in OWN_DOING if (found := meaning.of(reason, ask.body)) is not None), None)


def no_room(status: int, *, retry_after: str) -> Busy:
    """It may be asked again after a while: the one that it names, within reason, or a short one."""
    asked = retry_after.isascii() and retry_after.isdigit()  # a date is the other way to say it, and seldom
    wait_s = min(LONGEST_BUSY_S, float(retry_after[:9])) if asked else BUSY_S
    return Busy(f"the engine takes no more now (HTTP {status}).", retry_after_s=max(BUSY_S, wait_s))


def key_wrong(status: int) -> EngineFault:
    """The server does not take the worker's key: nobody's job is at fault."""
    return EngineFault(
        f"the engine does not take the key that the worker shows (HTTP {status}).",
        hint="Put the right one into the file that `engine.key_file` names, and restart the worker.",
    )


def _reason(body: bytes) -> str:
    """The engine's own words: OpenAI's `error.message`, TGI's `error`, MLC-LLM's `message`, FastAPI's `detail`."""
    return _words(_said(body))


def _words(said: object) -> str:
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
    return _inner(said)


def _inner(said: object) -> object:
    return said.get("error", said) if isinstance(said, dict) else said  # MLC-LLM's is JSON within JSON: a string
