"""What the bodies of the OpenAI endpoints have in common, and those of chats and completions in particular."""

from __future__ import annotations

from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, model_validator

from viiwork.api.bodies import wrong
from viiwork.api.requests import Deadline, Metadata, ModelAlias, OutputTokens, Penalty, Stops
from viiwork.api.shaping import Choice, Regex
from viiwork.jobs import Lane
from viiwork.work import ChatInput, CompletionInput, EmbeddingInput, Sampling, Shape

MAX_CHOICES = 8
"""Answers that one request may ask for: each is a job of its own."""
FLEX = "flex"
SAMPLED = ("top_p", "top_k", "presence_penalty", "frequency_penalty")
Choices = Annotated[int, Field(strict=True, ge=1, le=MAX_CHOICES)]
Flag = Annotated[bool, Field(strict=True)]
Work = ChatInput | CompletionInput | EmbeddingInput


class OpenAIBody(BaseModel):
    """What every endpoint takes. Unknown fields pass unseen unless they would change the answer.

    `timeout_s` and `deadline_s` are extensions: how long an attempt may take, and how long somebody wants the answer.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    model: Annotated[ModelAlias, Field(min_length=1)]
    user: str | None = None
    timeout_s: Annotated[float, Field(strict=True, gt=0, le=86_400)] | None = None
    deadline_s: Deadline | None = None

    def works(self) -> tuple[Work, ...]:
        """What engines are asked, one job each."""
        raise NotImplementedError


class StreamOptions(BaseModel):
    """`stream_options`."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    include_usage: Flag | None = None


class WritingBody(OpenAIBody):
    """What chats and completions have in common; `top_k`, `regex` and `choice` are extensions."""

    temperature: Annotated[float, Field(strict=True, ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(strict=True, gt=0, le=1)] | None = None
    top_k: Annotated[int, Field(strict=True, ge=1, le=1_000_000)] | None = None
    presence_penalty: Penalty | None = None
    frequency_penalty: Penalty | None = None
    seed: Annotated[int, Field(strict=True, ge=-(2**63), lt=2**63 - MAX_CHOICES)] | None = None
    stop: Stops | None = None
    n: Choices | None = None
    max_tokens: OutputTokens | None = None
    stream: Flag | None = None
    stream_options: StreamOptions | None = None
    service_tier: Annotated[str, Field(max_length=64)] | None = None
    metadata: Metadata | None = None
    regex: Regex | None = None
    choice: Choice | None = None
    _shape: Shape | None = PrivateAttr(default=None)

    @model_validator(mode="after")
    def _streams(self) -> Self:
        if self.stream_options is not None and not self.stream:
            raise wrong("stream_options", "has no place without stream")
        return self

    @property
    def lane(self) -> Lane:
        """Where it travels unless a header says otherwise."""
        return Lane.BATCH if self.service_tier == FLEX else Lane.INTERACTIVE

    @property
    def choices(self) -> int:
        """How many answers to each prompt."""
        return self.n or 1

    @property
    def output_tokens(self) -> int | None:
        """How long an answer may be; None where nobody says."""
        return self.max_tokens

    @property
    def usage_wanted(self) -> bool:
        """Whether a stream ends with a count of its tokens."""
        return self.stream_options is not None and bool(self.stream_options.include_usage)

    def _how(self, choice: int) -> dict[str, Any]:
        """What all kinds of writing are told, for one of several choices."""
        given: dict[str, Any] = {name: getattr(self, name) for name in SAMPLED if getattr(self, name) is not None}
        if self.seed is not None:
            given["seed"] = self.seed + choice  # else all the choices would be the same one
        if self.stop:
            given["stop"] = self.stop
        if (logprobs := self._logprobs()) is not None:
            given["logprobs"] = logprobs
        how: dict[str, Any] = {"temperature": 1.0 if self.temperature is None else self.temperature}
        if given:
            how["sampling"] = Sampling(**given)
        if self._shape is not None:
            how["shape"] = self._shape
        if self.output_tokens is not None:
            how["max_output_tokens"] = self.output_tokens
        if self.stream:
            how["stream"] = True
        return how

    def _logprobs(self) -> int | None:
        raise NotImplementedError
