"""What the OpenAI endpoints take, and the work that it becomes: `BODIES[path].model_validate_json(raw).works()`.

A request may be several works: one for each of `n` choices of each prompt. Their answers come back as one.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PrivateAttr, model_validator

from viiwork.api.bodies import listed, wrong
from viiwork.api.chat import ToolChoice, Tools, check_choice
from viiwork.api.openai.meant import OF_CHATS, OF_COMPLETIONS, check_meant
from viiwork.api.openai.turns import TurnBody
from viiwork.api.requests import (
    LIKELY_DIMENSIONS,
    Deadline,
    Metadata,
    ModelAlias,
    OutputTokens,
    Penalty,
    Stops,
    Text,
    check_vectors,
)
from viiwork.api.shaping import Choice, Regex, ResponseFormatBody, checked_shape
from viiwork.jobs import Lane
from viiwork.work import ChatInput, CompletionInput, EmbeddingInput, Sampling, Shape

MAX_CHOICES = 8
"""Answers that one request may ask for: each is a job of its own."""
USUAL_OUTPUT_TOKENS = 4096
"""The longest answer of a chat where nobody says; shorter where the model's context leaves less."""
COMPLETION_TOKENS = 16
"""The same of a completion, as the OpenAI API has it."""
FLEX = "flex"
SAMPLED = ("top_p", "top_k", "presence_penalty", "frequency_penalty")
OWN_TOKENIZER = (
    "lists of token numbers are those of another tokenizer than the model's: send text "
    "(langchain-openai: check_embedding_ctx_length=False)"
)
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


class ChatBody(WritingBody):
    """`POST /v1/chat/completions`."""

    messages: Annotated[tuple[TurnBody, ...], Field(min_length=1, max_length=1024)]
    max_completion_tokens: OutputTokens | None = None
    response_format: ResponseFormatBody | None = None
    tools: Tools | None = None
    tool_choice: ToolChoice | None = None
    parallel_tool_calls: Flag | None = None
    logprobs: Flag | None = None
    top_logprobs: Annotated[int, Field(strict=True, ge=0, le=20)] | None = None
    modalities: tuple[Literal["text"], ...] | None = None

    @model_validator(mode="before")
    @classmethod
    def _meant(cls, given: object) -> object:
        return check_meant(given, OF_CHATS)

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.top_logprobs is not None and not self.logprobs:
            raise wrong("top_logprobs", "has no place without logprobs: true")
        if self.tool_choice not in (None, "none", "auto") or (self.tool_choice is not None and self.tools):
            check_choice(self.tool_choice, self.tools or ())
        self._shape = checked_shape(self.response_format, self.regex, self.choice)
        return self

    @property
    def output_tokens(self) -> int | None:
        return self.max_completion_tokens or self.max_tokens

    @property
    def has_files(self) -> bool:
        """Whether some turn holds a document, which must be read first."""
        return any(turn.files for turn in self.messages)

    def works(self) -> tuple[ChatInput, ...]:
        messages = tuple(turn.to_wire() for turn in self.messages)
        tools: dict[str, Any] = {"tools": self.tools, "tool_choice": self.tool_choice} if self.tools else {}
        return tuple(ChatInput(messages=messages, **self._how(choice), **tools) for choice in range(self.choices))

    def _logprobs(self) -> int | None:
        return (self.top_logprobs or 0) if self.logprobs else None


def _prompts(value: object) -> object:
    if isinstance(value, list) and value and not isinstance(value[0], str):
        raise wrong("", OWN_TOKENIZER)
    return listed(value)


class CompletionBody(WritingBody):
    """`POST /v1/completions`."""

    prompt: Annotated[
        tuple[Text, ...],
        Field(min_length=1, max_length=MAX_CHOICES),
        BeforeValidator(_prompts, json_schema_input_type=str | list[str]),
    ]
    max_tokens: OutputTokens | None = None
    logprobs: Annotated[int, Field(strict=True, ge=0, le=20)] | None = None
    best_of: Choices | None = None
    response_format: ResponseFormatBody | None = None

    @model_validator(mode="before")
    @classmethod
    def _meant(cls, given: object) -> object:
        return check_meant(given, OF_COMPLETIONS)

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.best_of is not None and self.best_of != self.choices:
            raise wrong("best_of", "nothing is chosen from among answers here: must be n, or left out")
        if len(self.prompt) * self.choices > MAX_CHOICES:
            raise wrong("n", f"a request may ask for {MAX_CHOICES} answers in all; send several requests")
        self._shape = checked_shape(self.response_format, self.regex, self.choice)
        return self

    @property
    def output_tokens(self) -> int | None:
        return self.max_tokens or COMPLETION_TOKENS

    def works(self) -> tuple[CompletionInput, ...]:
        return tuple(
            CompletionInput(prompt=prompt, **self._how(choice))
            for prompt in self.prompt
            for choice in range(self.choices)
        )

    def _logprobs(self) -> int | None:
        return self.logprobs


class EmbeddingBody(OpenAIBody):
    """`POST /v1/embeddings`."""

    input: Annotated[
        tuple[Text, ...],
        Field(min_length=1, max_length=2048),
        BeforeValidator(_prompts, json_schema_input_type=str | list[str]),
    ]
    dimensions: Annotated[int, Field(strict=True, ge=1, le=65_536)] | None = None
    encoding_format: Literal["float", "base64"] | None = None

    @model_validator(mode="after")
    def _fits(self) -> Self:
        check_vectors(len(self.input), self.dimensions or LIKELY_DIMENSIONS)
        return self

    @property
    def lane(self) -> Lane:
        """Where it travels unless a header says otherwise."""
        return Lane.INTERACTIVE

    def works(self) -> tuple[EmbeddingInput, ...]:
        return (EmbeddingInput(texts=self.input, dimensions=self.dimensions),)


AnyBody = ChatBody | CompletionBody | EmbeddingBody
BODIES: dict[str, type[ChatBody] | type[CompletionBody] | type[EmbeddingBody]] = {
    "/v1/chat/completions": ChatBody,
    "/v1/completions": CompletionBody,
    "/v1/embeddings": EmbeddingBody,
}
"""By the path of the endpoint, as the lines of a batch name it."""
