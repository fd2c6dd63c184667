"""One answer of a fake server: what it says, and how that stands in a body or in a stream."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from tests.fakes.dialects import Body, Dialect
from tests.fakes.http import Reply
from tests.fakes.words import GARBAGE, dice, prose, tokens

CREATED = 1_795_000_000


@dataclass(frozen=True)
class Speech:
    """What is said, token by token."""

    endpoint: str
    model: str
    prompt: str
    prompt_tokens: int
    tokens: tuple[str, ...]
    unshaped: tuple[str, ...]
    finish_reason: str
    max_tokens: int
    streams: bool
    tells_usage: bool
    logprobs: int | None
    tool_calls: tuple[Body, ...] = ()

    def struck(self, fault: str) -> Speech:
        """The same under a fault that is one of its text."""
        if fault == "garbage":
            return replace(self, tokens=tuple(GARBAGE[: self.max_tokens]), tool_calls=())
        return replace(self, tokens=self.unshaped) if fault == "misshapen" else self

    def scripted(self, script: Mapping[str, str]) -> Speech:
        """The same with what was written for this prompt, where anything was."""
        said = next((text for mark, text in script.items() if mark in self.prompt), None)
        return self if said is None else replace(self, tokens=tuple(tokens(said)), finish_reason="stop")

    @property
    def usage(self) -> Body:
        count = len(self.tokens)
        return {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": count,
            "total_tokens": self.prompt_tokens + count,
        }

    def begin(self, reply: Reply) -> None:
        if self.endpoint == "chat":
            reply.event(self._chunk({"delta": {"role": "assistant", "content": ""}}))

    def say(self, token: str, number: int, reply: Reply) -> None:
        told = self._told(number, number + 1)
        said = {"delta": {"content": token}} if self.endpoint == "chat" else {"text": token}
        reply.event(self._chunk(said | {"logprobs": told}))

    def end(self, reply: Reply) -> None:
        """All of it, or the end of the stream."""
        if not self.streams:
            return reply.send(200, self._whole())
        last: Body = {"delta": {}} if self.endpoint == "chat" else {"text": ""}
        if self.tool_calls:
            last = {"delta": {"tool_calls": [call | {"index": n} for n, call in enumerate(self.tool_calls)]}}
        reply.event(self._chunk(last | {"finish_reason": self.finish_reason}))
        if self.tells_usage:
            reply.event(self._chunk(None) | {"usage": self.usage})
        reply.event("[DONE]")
        return reply.close()

    def break_off(self, error: Body, reply: Reply) -> None:
        """With an error inside a stream that began with 200, as vLLM does when it is ended; else with a 500."""
        if not self.streams:
            return reply.send(500, error)
        reply.event(error)
        reply.event("[DONE]")
        return reply.close()

    def spoil(self, reply: Reply) -> None:
        """With what is no JSON."""
        if not self.streams:
            return reply.send(200, '{"choices": [{"mess')
        reply.event('{"choices": [{"del')
        return reply.close()

    def _chunk(self, said: Body | None) -> Body:
        choices = [] if said is None else [{"index": 0, "finish_reason": None} | said]
        kind = "chat.completion.chunk" if self.endpoint == "chat" else "text_completion"
        return {"id": "fake-1", "object": kind, "created": CREATED, "model": self.model, "choices": choices}

    def _whole(self) -> Body:
        text = "".join(self.tokens)
        said: Body = {"text": text}
        if self.endpoint == "chat":
            calls = {"tool_calls": list(self.tool_calls)} if self.tool_calls else {}
            said = {"message": {"role": "assistant", "content": None if calls else text} | calls}
        choice = {"finish_reason": self.finish_reason, "logprobs": self._told(0, len(self.tokens))} | said
        kind = "chat.completion" if self.endpoint == "chat" else "text_completion"
        return self._chunk(choice) | {"object": kind, "usage": self.usage}

    def _told(self, first: int, end: int) -> Body | None:
        """Log probabilities, as each endpoint has them."""
        if self.logprobs is None:
            return None
        said = self.tokens[first:end]
        if self.endpoint == "chat":
            return {"content": [self._probable(token) for token in said]}
        return {
            "tokens": list(said),
            "token_logprobs": [-0.5 for _ in said],
            "top_logprobs": [{token: -0.5} for token in said],
            "text_offset": [sum(map(len, self.tokens[:number])) for number in range(first, end)],
        }

    def _probable(self, token: str) -> Body:
        one = {"token": token, "logprob": -0.5, "bytes": list(token.encode())}
        return one | {"top_logprobs": [one] * (self.logprobs or 0)}


def make_speech(body: Body, endpoint: str, *, dialect: Dialect, default_tokens: int) -> Speech:
    """What this body is answered with."""
    prompt = _prompt(body, endpoint)
    limit = int(body.get("max_completion_tokens") or body.get("max_tokens") or default_tokens)
    sampled = bool(body.get("temperature", 1))
    chance = dice(prompt, body.get("seed") if sampled else None)
    free = prose(chance, least_tokens=limit + 1 if limit < 64 else 40)
    writer = dialect.writer(body, endpoint)
    said, why = _cut(writer(chance) if writer is not None else free, limit, _stops(body))
    calls = tuple(_tool_calls(body))
    return Speech(
        endpoint=endpoint,
        model=str(body.get("model")),
        prompt=prompt,
        prompt_tokens=len(tokens(prompt)) + 4,
        tokens=() if calls else said,
        unshaped=tuple(tokens(free)[:limit]),
        finish_reason="tool_calls" if calls else why,
        max_tokens=limit,
        streams=bool(body.get("stream")),
        tells_usage=bool((body.get("stream_options") or {}).get("include_usage")),
        logprobs=_logprobs(body, endpoint),
        tool_calls=calls,
    )


def _prompt(body: Body, endpoint: str) -> str:
    if endpoint == "completion":
        return str(body["prompt"])
    return "\n".join(str(message.get("content") or "") for message in body["messages"])


def _stops(body: Body) -> list[str]:
    stop = body.get("stop") or []
    return [stop] if isinstance(stop, str) else stop


def _cut(text: str, limit: int, stops: list[str]) -> tuple[tuple[str, ...], str]:
    """The tokens up to a stop word, which is left out, or to the limit."""
    ends = [text.index(stop) for stop in stops if stop in text]
    said = tokens(text[: min(ends)] if ends else text)
    return (tuple(said), "stop") if len(said) <= limit else (tuple(said[:limit]), "length")


def _logprobs(body: Body, endpoint: str) -> int | None:
    if endpoint == "completion":
        return body.get("logprobs")
    return int(body.get("top_logprobs") or 0) if body.get("logprobs") else None


def _tool_calls(body: Body) -> Iterator[Body]:
    """The first tool, or the one that was named; only when one must be called."""
    choice = body.get("tool_choice")
    if not body.get("tools") or choice in (None, "none", "auto"):
        return
    named = choice["function"]["name"] if isinstance(choice, dict) else body["tools"][0]["function"]["name"]
    yield {"id": "call_1", "type": "function", "function": {"name": named, "arguments": json.dumps({})}}


def embedding_answer(vectors: list[list[float]], *, model: str, prompt_tokens: int) -> Body:
    data = [{"object": "embedding", "index": number, "embedding": one} for number, one in enumerate(vectors)]
    usage = {"prompt_tokens": prompt_tokens, "total_tokens": prompt_tokens}
    return {"object": "list", "model": model, "data": data, "usage": usage}
