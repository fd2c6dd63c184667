"""What the OpenAI endpoints answer, for the OpenAPI document: answers are made as plain dicts, in `answers.py`."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, Field


class Shape(BaseModel):
    """Part of an answer; further fields may come."""


class Ours(Shape):
    """Beside what the API has: the job, and what a reader must know of its engine."""

    job: str
    notice: str | None = None


class CalledFunction(Shape):
    """`arguments` is JSON, as the model wrote it."""

    name: str
    arguments: str


class Call(Shape):
    """A tool that the model calls."""

    id: str
    type: Literal["function"]
    function: CalledFunction


class Said(Shape):
    """The assistant's turn."""

    role: Literal["assistant"]
    content: str | None
    refusal: str | None
    tool_calls: list[Call] | None = None


class ChatChoice(Shape):
    """One of `n` answers."""

    index: int
    message: Said
    logprobs: dict[str, Any] | None
    finish_reason: str


class TextChoice(Shape):
    """One of `n` answers to one of the prompts."""

    index: int
    text: str
    logprobs: dict[str, Any] | None
    finish_reason: str


class Counted(Shape):
    """Tokens of all choices."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class Written(Shape):
    """What chats and completions have in common."""

    id: str
    created: int
    model: str
    usage: Counted
    service_tier: str
    system_fingerprint: str | None
    viiwork: Ours


class ChatCompletion(Written):
    """`POST /v1/chat/completions`."""

    object: Literal["chat.completion"]
    choices: list[ChatChoice]


class Completion(Written):
    """`POST /v1/completions`."""

    object: Literal["text_completion"]
    choices: list[TextChoice]


class Vector(Shape):
    """Numbers, or their bytes (32-bit floats, the lowest first) as base64."""

    object: Literal["embedding"]
    index: int
    embedding: list[float] | str


class TakenIn(Shape):
    """Tokens of all texts."""

    prompt_tokens: int
    total_tokens: int


class Embeddings(Shape):
    """`POST /v1/embeddings`."""

    object: Literal["list"]
    data: list[Vector]
    model: str
    usage: TakenIn
    viiwork: Ours


class ServedModel(Shape):
    """A model that is served; after `owned_by` what the API does not have."""

    id: str
    object: Literal["model"]
    created: int
    owned_by: str
    context_length: int | None
    max_model_len: int | None
    replicas: int = Field(description="Workers that serve it.")
    ready: int = Field(description="Those of them that take jobs now.")
    slots: int
    engine: str
    quantization: str | None
    revision: str | None
    cannot: list[str]
    notice: str | None = None


class ServedModels(Shape):
    """`GET /v1/models`."""

    object: Literal["list"]
    data: list[ServedModel]
