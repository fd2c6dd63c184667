"""A finished job, or several, as the response that the OpenAI API has for its request. Pure."""

from __future__ import annotations

import base64
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from viiwork.api.openai.bodies import AnyBody, ChatBody, CompletionBody, EmbeddingBody
from viiwork.api.openai.writing import FLEX
from viiwork.jobs import Lane
from viiwork.work import Answer, Usage

CHAT, COMPLETION, EMBEDDING = "chatcmpl", "cmpl", "embd"
PREFIXES = {ChatBody: CHAT, CompletionBody: COMPLETION, EmbeddingBody: EMBEDDING}
TIERS = {Lane.INTERACTIVE: "default", Lane.BATCH: FLEX}


@dataclass(frozen=True, slots=True)
class Facts:
    """What a response says of itself; `job` is the first of those that it came of."""

    job: str
    model: str
    created_ms: int
    lane: Lane = Lane.INTERACTIVE

    def head(self, body: AnyBody, kind: str) -> dict[str, Any]:
        """The fields that every response begins with."""
        return {
            "id": response_id(type(body), self.job),
            "object": kind,
            "created": self.created_ms // 1000,
            "model": self.model,
        }


def response_id(body: type[AnyBody], job: str) -> str:
    """The id of a response; `job_of` leads back."""
    return f"{PREFIXES[body]}-{job.removeprefix('job_')}"


def job_of(response: str) -> str:
    """The id of the job that a response came of."""
    rest = response.partition("-")[2]
    return rest if rest.startswith("an_") else f"job_{rest}"


def response_of(body: AnyBody, answers: Sequence[Answer], facts: Facts) -> dict[str, Any]:
    """The whole response: `answers` are those to `body.works()`, in their order."""
    if isinstance(body, EmbeddingBody):
        return _embeddings(body, answers[0], facts)
    if isinstance(body, ChatBody):
        head, said = facts.head(body, "chat.completion"), [chat_choice(body, *one) for one in enumerate(answers)]
    else:
        head, said = facts.head(body, "text_completion"), [completion_choice(body, *one) for one in enumerate(answers)]
    told = {"choices": said, "usage": usage_of(body, answers), **tail(answers, facts)}
    return head | told


def tail(answers: Sequence[Answer], facts: Facts) -> dict[str, Any]:
    """What stands behind the choices: also, beside what the API has, the job and what a reader must know."""
    last = answers[-1]
    fingerprint = "-".join(filter(None, (last.revision, last.quantization, last.engine_version))).replace(" ", "_")
    told: dict[str, Any] = {"job": facts.job}
    if last.notice:
        told["notice"] = last.notice
    return {
        "service_tier": TIERS[facts.lane],
        "system_fingerprint": f"fp_{fingerprint}" if fingerprint else None,
        "viiwork": told,
    }


def chat_choice(body: ChatBody, index: int, answer: Answer) -> dict[str, Any]:
    """One choice of a chat."""
    calls = calls_of(body, answer)
    message: dict[str, Any] = {"role": "assistant", "content": answer.text, "refusal": None}
    if calls:
        message |= {"content": answer.text or None, "tool_calls": calls}
    return {
        "index": index,
        "message": message,
        "logprobs": chat_logprobs(answer),
        "finish_reason": finish_of(body, answer, calls),
    }


def completion_choice(body: CompletionBody, index: int, answer: Answer) -> dict[str, Any]:
    """One choice of a completion."""
    finish = finish_of(body, answer, ())
    return {"index": index, "text": answer.text, "logprobs": answer.logprobs, "finish_reason": finish}


def calls_of(body: ChatBody, answer: Answer) -> list[dict[str, Any]]:
    """The tools that are called, the first alone where the sender cannot do with more at once."""
    calls = answer.tool_calls[:1] if body.parallel_tool_calls is False else answer.tool_calls
    return [{**call, "id": call.get("id") or f"call_{at}", "type": "function"} for at, call in enumerate(calls)]


def chat_logprobs(answer: Answer) -> dict[str, Any] | None:
    """Log probabilities as a chat has them."""
    return None if answer.logprobs is None else {"content": None, "refusal": None} | answer.logprobs


def finish_of(body: ChatBody | CompletionBody, answer: Answer, calls: Sequence[object]) -> str:
    """Why it ended; of an engine that does not say, by what it was asked for and wrote."""
    if answer.finish_reason:
        return answer.finish_reason
    most = body.output_tokens
    cut_off = most is not None and answer.usage.output_tokens >= most
    return "tool_calls" if calls else "length" if cut_off else "stop"


def usage_of(body: AnyBody, answers: Sequence[Answer]) -> dict[str, Any]:
    """Tokens of all the answers; a prompt counts once, however many choices it has."""
    choices = 1 if isinstance(body, EmbeddingBody) else body.choices
    taken = sum(answer.usage.prompt_tokens for answer in answers[::choices])
    return counted(Usage(prompt_tokens=taken, output_tokens=sum(answer.usage.output_tokens for answer in answers)))


def counted(usage: Usage) -> dict[str, Any]:
    """`usage` as the API has it."""
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.prompt_tokens + usage.output_tokens,
        "prompt_tokens_details": {"cached_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0},
    }


def _embeddings(body: EmbeddingBody, answer: Answer, facts: Facts) -> dict[str, Any]:
    packed = body.encoding_format == "base64"
    data = [
        {"object": "embedding", "index": at, "embedding": base64_of(vector) if packed else list(vector)}
        for at, vector in enumerate(answer.embeddings)
    ]
    taken = answer.usage.prompt_tokens
    used = {"prompt_tokens": taken, "total_tokens": taken}
    return {"object": "list", "data": data, "model": facts.model, "usage": used, "viiwork": {"job": facts.job}}


def base64_of(vector: Sequence[float]) -> str:
    """A vector as the official clients ask for it: 32-bit floats, the lowest byte first."""
    numbers = array("f", vector)
    if numbers.itemsize != 4:  # pragma: no cover - no platform that CPython runs on
        raise OverflowError("a C float has not 32 bits here")
    if not _LITTLE:
        numbers.byteswap()
    return base64.b64encode(numbers.tobytes()).decode()


_LITTLE = array("H", [1]).tobytes()[0] == 1
