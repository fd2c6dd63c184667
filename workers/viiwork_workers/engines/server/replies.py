"""What an engine answered, whole or in pieces, as one record. No I/O."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from viiwork.work import Usage

FINISHES = {
    "stop": "stop",
    "length": "length",
    "tool_calls": "tool_calls",
    # TGI's names, and the one that OpenAI has given up
    "eos_token": "stop",
    "stop_sequence": "stop",
    "function_call": "tool_calls",
}
"""Any other reason (`abort`, `error`, `preempt`, `content_filter`) means that the answer is not what was asked for."""


class Garbled(Exception):
    """Raised when an engine's answer is not what the API says: its message quotes nothing of it."""


class Reported(Exception):
    """Raised when an answer that began well carries an error instead of its end: `said`, which may quote the prompt."""

    def __init__(self, said: object) -> None:
        super().__init__()
        self.said = said


NOTHING_COUNTED = Usage()
MOST_TOKENS = 10_000_000
"""Of one request. A count above it is no count, and the sum of many such would be too large for Redis."""
LEAST_LOGPROB = -9999.0
"""How the OpenAI API says minus infinity, which JSON cannot."""
OTHERWISE = (TypeError, ValueError, AttributeError, LookupError, ArithmeticError, RecursionError)
"""What comes of reading an answer that has another form than the API says."""


@contextmanager
def _as_the_api_says() -> Iterator[None]:
    """An engine that answers garbage is at fault, and neither the job nor this code."""
    try:
        yield
    except OTHERWISE as error:
        raise Garbled("it has another form than the API says") from error


@dataclass(frozen=True, slots=True)
class Reply:
    """What came of one request."""

    text: str = ""
    finish_reason: str = ""
    usage: Usage = NOTHING_COUNTED
    tool_calls: tuple[dict[str, Any], ...] = ()
    logprobs: dict[str, Any] | None = None
    embeddings: tuple[tuple[float, ...], ...] = ()


@dataclass(slots=True)
class Transcript:
    """A streamed answer as it is put together, one event after the other."""

    finish_reason: str = ""
    _spoke: bool = False
    """Whether any choice had a place for text."""
    _texts: list[str] = field(default_factory=list)
    _usage: Usage = NOTHING_COUNTED
    _calls: dict[int, dict[str, Any]] = field(default_factory=dict)
    _logprobs: dict[str, Any] | None = None

    def hear(self, event: object) -> str:
        """The text that this event adds. Raises Reported, or Garbled."""
        with _as_the_api_says():
            return self._hear(event)

    def reply(self) -> Reply:
        """The whole. Raises Garbled when it broke off."""
        if not self.finish_reason:
            raise Garbled("its answer broke off")
        if not self._spoke:
            raise Garbled("its answer has no text")
        with _as_the_api_says():
            calls = tuple(_call(self._calls[number]) for number in sorted(self._calls))
            text, logprobs = "".join(self._texts), _probable(self._logprobs)
            return Reply(text, _finish(self.finish_reason), self._usage, calls, logprobs)

    def _hear(self, event: object) -> str:
        if not isinstance(event, dict):
            raise Garbled("an event of its stream is no object")
        if _is_error(event):
            raise Reported(event)
        if usage := event.get("usage"):
            self._usage = _usage(usage)
        choices = event.get("choices")
        if not choices:
            return ""
        choice = _choice(choices)
        self.finish_reason = choice.get("finish_reason") or self.finish_reason
        if logprobs := choice.get("logprobs"):
            self._logprobs = _joined(self._logprobs or {}, logprobs)
        return self._heard(choice)

    def _heard(self, choice: Mapping[str, Any]) -> str:
        delta = choice.get("delta")
        self._spoke = self._spoke or isinstance(delta, dict) or isinstance(choice.get("text"), str)
        if delta is None:
            text = choice.get("text")
        elif isinstance(delta, dict):
            # what a thinking model thinks (`reasoning_content`, in vLLM `reasoning`) is not its answer
            text = delta.get("content")
            self._add_calls(_listed(delta.get("tool_calls")))
        else:
            raise Garbled("a choice of its stream is no object")
        if not text:
            return ""
        text = _text(text)
        self._texts.append(text)
        return text

    def _add_calls(self, deltas: list[Any]) -> None:
        for delta in deltas:
            if not isinstance(delta, dict):
                raise Garbled("a tool call of its stream is no object")
            call = self._calls.setdefault(int(delta.get("index") or 0), {"arguments": []})
            function = delta.get("function") or {}
            call["id"] = delta.get("id") or call.get("id", "")
            call["name"] = function.get("name") or call.get("name", "")
            call["arguments"].append(function.get("arguments") or "")


def read_reply(body: object, *, texts: int = 0) -> Reply:
    """A whole answer; of an embedding request when `texts` says how many vectors it must have.

    Raises Reported, or Garbled.
    """
    if not isinstance(body, dict):
        raise Garbled("its answer is no object")
    if _is_error(body):
        raise Reported(body)
    with _as_the_api_says():
        return _reply(body, texts)


def _reply(body: Mapping[str, Any], texts: int) -> Reply:
    usage = _usage(body.get("usage"))
    if texts:
        return Reply(finish_reason="stop", usage=usage, embeddings=_vectors(body.get("data"), texts))
    choice = _choice(body.get("choices"))
    said, calls = choice.get("text"), list[Any]()
    if "message" in choice:
        said, calls = choice["message"].get("content") or "", _listed(choice["message"].get("tool_calls"))
    made = tuple(_call({**call, **(call.get("function") or {})}) for call in calls)
    logprobs = _probable(choice.get("logprobs"))
    return Reply(_text(said), _finish(choice.get("finish_reason")), usage, made, logprobs)


def _is_error(said: Mapping[str, Any]) -> bool:
    """`"error": null` beside an answer is none."""
    return said.get("error") is not None or said.get("object") == "error"


def _listed(calls: Any) -> list[Any]:
    """TGI sends one object where the API has a list."""
    return [calls] if isinstance(calls, dict) else list(calls or ())


def _choice(choices: object) -> dict[str, Any]:
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        raise Garbled("its answer has no choices")
    return choices[0]


def _finish(reason: object) -> str:
    if reason not in FINISHES:
        raise Garbled("it gave its answer up before the end")
    return FINISHES[str(reason)]


def _text(text: object) -> str:
    if not isinstance(text, str):
        raise Garbled("its text is no text")
    if text.isascii():
        return text
    # half a character, as a JSON escape can bring it: no record could hold it
    return text.encode("utf-8", "surrogatepass").decode("utf-8", "replace")


def _usage(usage: object) -> Usage:
    if not isinstance(usage, dict):
        return NOTHING_COUNTED
    taken, given = _count(usage.get("prompt_tokens")), _count(usage.get("completion_tokens"))
    return Usage(prompt_tokens=taken, output_tokens=given)


def _count(said: object) -> int:
    if not isinstance(said, int) or isinstance(said, bool):
        return 0
    return min(max(0, said), MOST_TOKENS)


def _joined(before: dict[str, Any], more: object) -> dict[str, Any]:
    """Log probabilities of one more piece: `content` of a chat, parallel lists of a completion."""
    if not isinstance(more, dict):
        raise Garbled("its log probabilities are no object")
    for name, values in more.items():
        if isinstance(values, list) and isinstance(before.get(name), list):
            before[name] += values
        elif values is not None or name not in before:
            before[name] = values
    return before


def _probable(said: object) -> dict[str, Any] | None:
    """Log probabilities that a record can hold: a look in C first, for there may be a hundred thousand of them."""
    if not said:
        return None
    if not isinstance(said, dict):
        raise Garbled("its log probabilities are no object")
    try:
        json.dumps(said, ensure_ascii=False, allow_nan=False).encode()
    except ValueError:  # a number that is none, or half a character
        return {_text(name): _clean(value) for name, value in said.items()}
    return said


def _clean(value: Any) -> Any:
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, list):
        return [_clean(one) for one in value]
    if isinstance(value, dict):
        return {_text(name): _clean(one) for name, one in value.items()}
    if not isinstance(value, float) or math.isfinite(value):
        return value
    if value != -math.inf:
        raise Garbled("its log probabilities are no numbers")
    return LEAST_LOGPROB


def _call(call: Mapping[str, Any]) -> dict[str, Any]:
    said = call.get("arguments") or ""
    parts = said if isinstance(said, list) else [said]
    return {
        "id": _text(str(call.get("id") or "")),
        "type": "function",
        "function": {"name": _text(call.get("name") or ""), "arguments": "".join(map(_arguments, parts))},
    }


def _arguments(said: object) -> str:
    """TGI and others send an object where the API has JSON in a string."""
    return _text(json.dumps(said, ensure_ascii=False, allow_nan=False) if isinstance(said, dict) else said)


def _vectors(data: object, texts: int) -> tuple[tuple[float, ...], ...]:
    rows = data if isinstance(data, list) else []
    if len(rows) != texts:
        raise Garbled(f"it made {len(rows)} embeddings of {texts} texts")
    rows = sorted(rows, key=lambda row: int(row["index"]))
    if [row["index"] for row in rows] != list(range(texts)):
        raise Garbled("its embeddings are not one for each text")
    vectors = tuple(tuple(map(float, row["embedding"])) for row in rows)
    if len({len(vector) for vector in vectors}) != 1 or not vectors[0]:
        raise Garbled("its embeddings are not all of one length")
    if not all(all(map(math.isfinite, vector)) for vector in vectors):
        raise Garbled("its embeddings are no numbers")
    return vectors
