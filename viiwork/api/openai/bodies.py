"""What the OpenAI endpoints take, and the work that it becomes: `BODIES[path].model_validate_json(raw).works()`.

A request may be several works: one for each of `n` choices of each prompt. Their answers come back as one.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from viiwork.api.bodies import listed, wrong
from viiwork.api.chat import ToolChoice, Tools, check_choice
from viiwork.api.openai.content import MAX_FILES
from viiwork.api.openai.meant import OF_CHATS, OF_COMPLETIONS, check_meant
from viiwork.api.openai.turns import TurnBody
from viiwork.api.openai.writing import MAX_CHOICES, Choices, Flag, OpenAIBody, WritingBody
from viiwork.api.requests import LIKELY_DIMENSIONS, OutputTokens, Text, check_vectors
from viiwork.api.shaping import ResponseFormatBody, checked_shape
from viiwork.jobs import Lane
from viiwork.work import ChatInput, CompletionInput, EmbeddingInput

USUAL_OUTPUT_TOKENS = 4096
"""The longest answer of a chat where nobody says; shorter where the model's context leaves less."""
COMPLETION_TOKENS = 16
"""The same of a completion, as the OpenAI API has it."""
OWN_TOKENIZER = (
    "lists of token numbers are those of another tokenizer than the model's: send text "
    "(langchain-openai: check_embedding_ctx_length=False)"
)


class ChatBody(WritingBody):
    """`POST /v1/chat/completions`."""

    asks: ClassVar[str] = "messages"

    messages: Annotated[tuple[TurnBody, ...], Field(min_length=1, max_length=1024, fail_fast=True)]
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
    def _few_files(self) -> Self:
        if (count := sum(len(turn.files) for turn in self.messages)) > MAX_FILES:
            many = "POST /v1/analyses takes many of them at once"
            raise wrong("messages", f"a chat holds at most {MAX_FILES} files, not {count:,}; {many}")
        return self

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

    asks: ClassVar[str] = "prompt"

    prompt: Annotated[
        tuple[Text, ...],
        Field(min_length=1, max_length=MAX_CHOICES, fail_fast=True),
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

    asks: ClassVar[str] = "input"

    input: Annotated[
        tuple[Text, ...],
        Field(min_length=1, max_length=2048, fail_fast=True),
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
