"""What an engine answered, as one record. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from viiwork.work import Usage
from viiwork_workers.engines.server.fields import (
    NOTHING_COUNTED,
    Garbled,
    Reported,
    as_the_api_says,
    call_of,
    choice_of,
    finish_of,
    is_error,
    listed,
    probable,
    text_of,
    usage_of,
    vectors_of,
)


@dataclass(frozen=True, slots=True)
class Reply:
    """What came of one request."""

    text: str = ""
    finish_reason: str = ""
    usage: Usage = NOTHING_COUNTED
    tool_calls: tuple[dict[str, Any], ...] = ()
    logprobs: dict[str, Any] | None = None
    embeddings: tuple[tuple[float, ...], ...] = ()


def read_reply(body: object, *, texts: int = 0) -> Reply:
    """A whole answer; of an embedding request when `texts` says how many vectors it must have.

    Raises Reported, or Garbled.
    """
    if not isinstance(body, dict):
        raise Garbled("its answer is no object")
    if is_error(body):
        raise Reported(body)
    with as_the_api_says():
        return _reply(body, texts)


def _reply(body: Mapping[str, Any], texts: int) -> Reply:
    usage = usage_of(body.get("usage"))
    if texts:
        return Reply(finish_reason="stop", usage=usage, embeddings=vectors_of(body.get("data"), texts))
    choice = choice_of(body.get("choices"))
    said, calls = choice.get("text"), list[Any]()
    if "message" in choice:
        said, calls = choice["message"].get("content") or "", listed(choice["message"].get("tool_calls"))
    made = tuple(call_of({**call, **(call.get("function") or {})}) for call in calls)
    logprobs = probable(choice.get("logprobs"))
    return Reply(text_of(said), finish_of(choice.get("finish_reason")), usage, made, logprobs)
