"""How each engine is asked: the same wishes in its own words, and what it cannot do refused by name. Pure.

Nothing is dropped in silence: these servers answer a field that they do not know with 200 and leave it out.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from viiwork.abilities import UNABLE, Ability
from viiwork.errors import JobRefused
from viiwork.jobs import Lane
from viiwork.recipes.recipe import Dialect
from viiwork.work import ChatInput, CompletionInput, EmbeddingInput, Message, Sampling
from viiwork_workers.engines.server.shaping import NAMES, Endpoint, shaped

PATHS: dict[Endpoint, str] = {
    "chat": "/v1/chat/completions",
    "completion": "/v1/completions",
    "embedding": "/v1/embeddings",
}
PRIORITIES = {Lane.INTERACTIVE: 0, Lane.BATCH: 10}
"""Lower is earlier, in vLLM."""

UNKNOWN: dict[tuple[Dialect, Endpoint], tuple[str, ...]] = {
    # platform.openai.com/docs/api-reference: no top_k at either endpoint
    ("openai", "chat"): ("top_k",),
    ("openai", "completion"): ("top_k",),
    # TGI, router/src/lib.rs `try_into_generate` and server.rs `completions` (db931fcf): top_k is None in both,
    # presence_penalty becomes a repetition penalty of itself plus 2, completions have neither it nor logprobs
    ("tgi", "chat"): ("top_k", "presence_penalty"),
    ("tgi", "completion"): ("top_k", "presence_penalty", "logprobs"),
    # MLC-LLM, python/mlc_llm/protocol/openai_api_protocol.py (01ced331)
    ("mlc", "chat"): ("top_k",),
    ("mlc", "completion"): ("top_k",),
}

CANNOT: dict[Dialect, frozenset[Ability]] = {
    # neither has such a route; text-embeddings-inference is a program of its own
    "tgi": frozenset({Ability.EMBEDDING}),
    "mlc": frozenset({Ability.EMBEDDING}),
}


@dataclass(frozen=True, slots=True)
class Ask:
    """One HTTP request to an engine."""

    endpoint: Endpoint
    body: dict[str, Any]

    @property
    def path(self) -> str:
        return PATHS[self.endpoint]


@dataclass(frozen=True, slots=True)
class Tongue:
    """The words that one engine understands."""

    dialect: Dialect
    alias: str
    priority: bool = False

    def ask(self, work: ChatInput | CompletionInput | EmbeddingInput, *, lane: Lane, stream: bool = False) -> Ask:
        """The request for this work. Raises JobRefused for what the engine cannot do, naming the field."""
        if isinstance(work, EmbeddingInput):
            body = self._embedding(work)
        else:
            own = self._chat(work) if isinstance(work, ChatInput) else {"prompt": work.prompt}
            body = {**own, **self._common(work), **(shaped(work, self.dialect) if work.shape else {})}
            if stream:
                body |= {"stream": True, "stream_options": {"include_usage": True}}
        if self.priority:
            body["priority"] = PRIORITIES[lane]
        return Ask(work.kind, {"model": self._model, **body})

    @property
    def _model(self) -> str:
        # TGI serves one model and takes any other name than `tgi` for that of a LoRA adapter (lib.rs, `adapter_id`)
        return "tgi" if self.dialect == "tgi" else self.alias

    def _common(self, work: ChatInput | CompletionInput) -> dict[str, Any]:
        said = {"max_tokens": work.max_output_tokens, "temperature": work.temperature}
        return said | self._sampling(work.sampling, work.kind)

    def _sampling(self, sampling: Sampling, endpoint: Endpoint) -> dict[str, Any]:
        said = sampling.model_dump(exclude_none=True, exclude={"logprobs", "stop"})
        for field in UNKNOWN.get((self.dialect, endpoint), ()):
            if getattr(sampling, field) is not None:
                raise self._cannot(field)
        if self.dialect == "tgi":
            self._suit_tgi(said)
        if sampling.stop:
            said["stop"] = list(sampling.stop)
        return said | (self._logprobs(sampling.logprobs, endpoint) if sampling.logprobs is not None else {})

    def _suit_tgi(self, said: dict[str, Any]) -> None:
        if said.get("seed", 0) < 0:  # u64 in its ChatRequest
            raise self._cannot("seed", "below 0")
        if said.get("top_p") == 1.0:  # "must be > 0.0 and < 1.0"; leaving it out means the same
            del said["top_p"]

    def _logprobs(self, count: int, endpoint: Endpoint) -> dict[str, Any]:
        if endpoint == "completion":
            return {"logprobs": count}
        # llama.cpp takes top_logprobs for n_probs, and gives none at all for 0 (server-common.cpp)
        return {"logprobs": True, "top_logprobs": max(1, count) if self.dialect == "llama.cpp" else count}

    def _chat(self, work: ChatInput) -> dict[str, Any]:
        said: dict[str, Any] = {"messages": [_turn(message) for message in work.messages]}
        if work.tools:
            said["tools"] = list(work.tools)
            said |= self._tool_choice(work.tool_choice)
        return said

    def _tool_choice(self, choice: str | dict[str, Any] | None) -> dict[str, Any]:
        if choice is None:
            return {}
        # llama.cpp reads it with json_value(body, "tool_choice", "auto"): an object silently becomes "auto"
        if self.dialect == "llama.cpp" and isinstance(choice, dict):
            raise self._cannot("tool_choice", "of one tool by name", hint='Send that tool alone, with "required".')
        # MLC-LLM: Literal["none", "auto"] or an object
        if self.dialect == "mlc" and choice == "required":
            raise self._cannot("tool_choice", '"required"', hint="Name the tool.")
        return {"tool_choice": choice}

    def _embedding(self, work: EmbeddingInput) -> dict[str, Any]:
        if Ability.EMBEDDING in CANNOT.get(self.dialect, ()):
            raise JobRefused(
                f"{NAMES[self.dialect]} makes no embeddings.",
                hint="Ask a model that another engine serves.",
                code=UNABLE,
                param="kind",
            )
        if work.dimensions is not None and self.dialect == "llama.cpp":
            raise self._cannot("dimensions")
        said: dict[str, Any] = {"input": list(work.texts), "encoding_format": "float"}
        return said | ({"dimensions": work.dimensions} if work.dimensions is not None else {})

    def _cannot(self, field: str, what: str = "", *, hint: str = "") -> JobRefused:
        asked = f"{field} {what}".strip()
        return JobRefused(
            f"{NAMES[self.dialect]} has no {asked}.", hint=hint or "Leave it out.", code="unsupported", param=field
        )


def _turn(message: Message) -> dict[str, Any]:
    said = message.model_dump(exclude_none=True)
    if "tool_calls" in said:
        said["tool_calls"] = [dict(call) for call in said["tool_calls"]]
    return said


def encoded(ask: Ask) -> bytes:
    """The body as it is sent. Raises JobRefused for half a character, as a JSON escape can bring it, in any field."""
    try:
        return json.dumps(ask.body, ensure_ascii=False, separators=(",", ":")).encode()
    except UnicodeEncodeError as error:
        raise JobRefused(
            "the request is not valid Unicode.", hint="Write it again without half characters.", code="invalid_text"
        ) from error
