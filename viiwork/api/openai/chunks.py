"""The events of a stream as the OpenAI API has them. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from viiwork.api.openai.answers import Facts, calls_of, chat_logprobs, finish_of, tail, usage_of
from viiwork.api.openai.bodies import ChatBody, CompletionBody
from viiwork.work import Answer

DONE = b"data: [DONE]\n\n"
WAITING = b": waiting\n\n"
"""A comment, which readers pass over: it keeps connections open while nothing happens."""


class Chunks:
    """Makes the events of one stream."""

    def __init__(self, body: ChatBody | CompletionBody, facts: Facts) -> None:
        self._body, self._facts = body, facts
        self._chat = isinstance(body, ChatBody)
        self._head = facts.head(body, "chat.completion.chunk" if self._chat else "text_completion")
        self._head["system_fingerprint"] = None
        self._tail: dict[str, Any] = {"usage": None} if body.usage_wanted else {}

    def begin(self, index: int) -> bytes:
        """Who speaks; nothing for a completion."""
        return self._event(index, {"role": "assistant", "content": "", "refusal": None}) if self._chat else b""

    def text(self, index: int, text: str) -> bytes:
        """More of an answer."""
        return self._event(index, {"content": text}, text=text)

    def end(self, index: int, answer: Answer) -> bytes:
        """What stands at an answer's end: the tools that it calls, its log probabilities, and why it ended.

        Log probabilities come all at once: workers tell an answer's text while it is written, and nothing else.
        """
        calls = calls_of(self._body, answer) if isinstance(self._body, ChatBody) else []
        called = [{"index": at, **call} for at, call in enumerate(calls)]
        told = self._event(index, {"tool_calls": called}) if called else b""
        if answer.logprobs is not None:
            likely = chat_logprobs(answer) if self._chat else answer.logprobs
            told += self._event(index, {}, logprobs=likely)
        return told + self._event(index, {}, finish=finish_of(self._body, answer, calls))

    def last(self, answers: Sequence[Answer]) -> bytes:
        """The usage, where it is wanted, and the end."""
        if not self._body.usage_wanted:
            return DONE
        told = tail(answers, self._facts)
        return event(self._head | told | {"choices": [], "usage": usage_of(self._body, answers)}) + DONE

    def _event(
        self,
        index: int,
        delta: Mapping[str, Any],
        *,
        text: str = "",
        logprobs: Any = None,
        finish: str | None = None,
    ) -> bytes:
        said: dict[str, Any] = {"delta": delta} if self._chat else {"text": text}
        choice = {"index": index, **said, "logprobs": logprobs, "finish_reason": finish}
        return event({**self._head, "choices": [choice], **self._tail})


def event(data: Mapping[str, Any]) -> bytes:
    """One event."""
    return f"data: {json.dumps(data, ensure_ascii=False, separators=(',', ':'))}\n\n".encode("utf-8", "replace")
