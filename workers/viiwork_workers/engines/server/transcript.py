"""A streamed answer as it is put together, one event after the other. No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
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
    joined,
    listed,
    probable,
    text_of,
    usage_of,
)
from viiwork_workers.engines.server.replies import Reply


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
        with as_the_api_says():
            return self._hear(event)

    def reply(self) -> Reply:
        """The whole. Raises Garbled when it broke off."""
        if not self.finish_reason:
            raise Garbled("its answer broke off")
        if not self._spoke:
            raise Garbled("its answer has no text")
        with as_the_api_says():
            calls = tuple(call_of(self._calls[number]) for number in sorted(self._calls))
            text, logprobs = "".join(self._texts), probable(self._logprobs)
            return Reply(text, finish_of(self.finish_reason), self._usage, calls, logprobs)

    def _hear(self, event: object) -> str:
        if not isinstance(event, dict):
            raise Garbled("an event of its stream is no object")
        if is_error(event):
            raise Reported(event)
        if usage := event.get("usage"):
            self._usage = usage_of(usage)
        choices = event.get("choices")
        if not choices:
            return ""
        choice = choice_of(choices)
        self.finish_reason = choice.get("finish_reason") or self.finish_reason
        if logprobs := choice.get("logprobs"):
            self._logprobs = joined(self._logprobs or {}, logprobs)
        return self._heard(choice)

    def _heard(self, choice: Mapping[str, Any]) -> str:
        delta = choice.get("delta")
        self._spoke = self._spoke or isinstance(delta, dict) or isinstance(choice.get("text"), str)
        if delta is None:
            text = choice.get("text")
        elif isinstance(delta, dict):
            # what a thinking model thinks (`reasoning_content`, in vLLM `reasoning`) is not its answer
            text = delta.get("content")
            self._add_calls(listed(delta.get("tool_calls")))
        else:
            raise Garbled("a choice of its stream is no object")
        if not text:
            return ""
        text = text_of(text)
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
