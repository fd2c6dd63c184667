"""What an engine answered, whole or in pieces, as one record. No I/O."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
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
    """Raised when an answer that began well carries an error instead of its end."""


NOTHING_COUNTED = Usage()


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
    _texts: list[str] = field(default_factory=list)
    _usage: Usage = NOTHING_COUNTED
    _calls: dict[int, dict[str, Any]] = field(default_factory=dict)
    _logprobs: dict[str, Any] | None = None

    def hear(self, event: object) -> str:
        """The text that this event adds. Raises Reported, or Garbled."""
        if not isinstance(event, dict):
            raise Garbled("an event of its stream is no object")
        if "error" in event or event.get("object") == "error":
            raise Reported
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

    def reply(self) -> Reply:
        """The whole. Raises Garbled when it broke off."""
        if not self.finish_reason:
            raise Garbled("its answer broke off")
        calls = tuple(_call(self._calls[number]) for number in sorted(self._calls))
        return Reply("".join(self._texts), _finish(self.finish_reason), self._usage, calls, self._logprobs)

    def _heard(self, choice: Mapping[str, Any]) -> str:
        delta = choice.get("delta")
        if delta is None:
            text = choice.get("text")
        elif isinstance(delta, dict):
            # what a thinking model thinks (`reasoning_content`, in vLLM `reasoning`) is not its answer
            text = delta.get("content")
            self._add_calls(delta.get("tool_calls") or ())
        else:
            raise Garbled("a choice of its stream is no object")
        if not text:
            return ""
        text = _text(text)
        self._texts.append(text)
        return text

    def _add_calls(self, deltas: Iterable[Any]) -> None:
        # TGI sends one object where the API has a list
        for delta in [deltas] if isinstance(deltas, dict) else deltas:
            if not isinstance(delta, dict):
                raise Garbled("a tool call of its stream is no object")
            call = self._calls.setdefault(int(delta.get("index") or 0), {"arguments": []})
            function = delta.get("function") or {}
            call["id"] = delta.get("id") or call.get("id", "")
            call["name"] = function.get("name") or call.get("name", "")
            call["arguments"].append(function.get("arguments") or "")


def read_reply(body: object, *, texts: int = 0) -> Reply:
    """A whole answer; of an embedding request when `texts` says how many vectors it must have. Raises Garbled."""
    if not isinstance(body, dict):
        raise Garbled("its answer is no object")
    if "error" in body or body.get("object") == "error":
        raise Reported
    usage = _usage(body.get("usage"))
    if texts:
        return Reply(finish_reason="stop", usage=usage, embeddings=_vectors(body.get("data"), texts))
    choice = _choice(body.get("choices"))
    message = choice.get("message", choice)
    if not isinstance(message, dict):
        raise Garbled("its message is no object")
    calls = tuple(_call({**call, **(call.get("function") or {})}) for call in message.get("tool_calls") or ())
    text = _text(message.get("content", choice.get("text")) or "")
    return Reply(text, _finish(choice.get("finish_reason")), usage, calls, choice.get("logprobs") or None)


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
    counts = (usage.get("prompt_tokens"), usage.get("completion_tokens"))
    taken, given = (count if isinstance(count, int) and count >= 0 else 0 for count in counts)
    return Usage(prompt_tokens=taken, output_tokens=given)


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


def _call(call: Mapping[str, Any]) -> dict[str, Any]:
    arguments = call.get("arguments", "")
    if isinstance(arguments, list):
        arguments = "".join(str(part) for part in arguments)
    return {
        "id": str(call.get("id") or ""),
        "type": "function",
        "function": {"name": str(call.get("name") or ""), "arguments": arguments},
    }


def _vectors(data: object, texts: int) -> tuple[tuple[float, ...], ...]:
    try:
        rows = sorted(data, key=lambda row: row["index"]) if isinstance(data, list) else []
        vectors = tuple(tuple(map(float, row["embedding"])) for row in rows)
    except (TypeError, KeyError, ValueError) as error:
        raise Garbled("its embeddings are no numbers") from error
    if len(vectors) != texts:
        raise Garbled(f"it made {len(vectors)} embeddings of {texts} texts")
    return vectors
