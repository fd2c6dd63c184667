"""What clients may send. Unknown fields are refused here, at the door, and nowhere else."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, PrivateAttr, ValidationInfo, field_validator, model_validator

from viiwork.api.bodies import Body, listed, wrong
from viiwork.api.chat import MessageBody, ToolChoice, Tools, check_choice
from viiwork.api.limits import check_count
from viiwork.api.shaping import Choice, Regex, ResponseFormatBody, checked_shape
from viiwork.documents.tasks import usual_tokens
from viiwork.errors import UsageError
from viiwork.jobs import Lane, Priority
from viiwork.settings import ApiSection
from viiwork.work import (
    AnalysisTask,
    ChatInput,
    CompletionInput,
    EmbeddingInput,
    Label,
    Sampling,
    Shape,
    TaskOptions,
)

CustomId = Annotated[str, Field(max_length=256)]
MetadataKey = Annotated[str, Field(min_length=1, max_length=64)]
MetadataValue = Annotated[str, Field(max_length=512)]
Metadata = Annotated[dict[MetadataKey, MetadataValue], Field(max_length=16)]
DocumentName = Annotated[str, Field(max_length=1024)]
OutputTokens = Annotated[int, Field(strict=True, ge=1, le=131_072)]  # strict: `true` is no number
ModelAlias = Annotated[str, Field(max_length=64)]
LONGEST_DEADLINE_S = 366 * 86_400
Deadline = Annotated[float, Field(strict=True, gt=0, le=LONGEST_DEADLINE_S)]
"""Seconds from submission until nobody wants the answer any more."""
Keep = Annotated[float, Field(strict=True, gt=0, le=LONGEST_DEADLINE_S)]
"""Seconds after its end that the answer is kept, if that is shorter than the fleet keeps answers."""
Retention = Annotated[float, Field(strict=True, gt=0, le=36_500 * 24)]
"""Hours after its end that an analysis is kept; the fleet has a bound of its own (`results.max_days`)."""
CallbackUrl = Annotated[str, Field(min_length=1, max_length=2048)]
Penalty = Annotated[float, Field(strict=True, ge=-2, le=2)]
Text = Annotated[str, Field(min_length=1)]
Texts = Annotated[
    tuple[Text, ...],
    Field(min_length=1, max_length=2048, fail_fast=True),
    BeforeValidator(listed, json_schema_input_type=str | list[str]),
]
MAX_NUMBERS = 4 * 1024 * 1024
"""In the vectors of one job. To write 2 million as JSON held the API for 1.3 s."""
LIKELY_DIMENSIONS = 4096
"""What a vector has at most where the sender does not say, for nearly all models."""
Stop = Annotated[str, Field(min_length=1, max_length=256)]
Stops = Annotated[
    tuple[Stop, ...], Field(max_length=16), BeforeValidator(listed, json_schema_input_type=str | list[str])
]
PLAIN = Sampling()
SAMPLING = frozenset(Sampling.model_fields)
OF_CHATS = frozenset({"tools", "tool_choice"})
SHAPES = frozenset({"response_format", "regex", "choice"})
FOREIGN = {
    "messages": frozenset({"dimensions"}),
    "prompt": OF_CHATS | {"dimensions"},
    "input": OF_CHATS | SAMPLING | SHAPES | {"max_output_tokens", "temperature", "stream"},
}
"""What a job may ask, and which fields mean nothing beside it."""


class WorkBody(Body):
    """What a job asks of an engine, however it is sent: `messages` (a chat), `prompt` (text to go on with) or `input`
    (texts to turn into vectors)."""

    messages: Annotated[tuple[MessageBody, ...], Field(min_length=1, max_length=1024, fail_fast=True)] | None = None
    prompt: Annotated[str, Field(min_length=1)] | None = None
    input: Texts | None = None
    max_output_tokens: OutputTokens = 512
    temperature: Annotated[float, Field(strict=True, ge=0, le=2)] = 0.0
    top_p: Annotated[float, Field(strict=True, gt=0, le=1)] | None = None
    top_k: Annotated[int, Field(strict=True, ge=1, le=1_000_000)] | None = None
    presence_penalty: Penalty | None = None
    frequency_penalty: Penalty | None = None
    seed: Annotated[int, Field(strict=True, ge=-(2**63), lt=2**63)] | None = None
    stop: Stops | None = None
    logprobs: Annotated[int, Field(strict=True, ge=0, le=20)] | None = None
    response_format: ResponseFormatBody | None = None
    regex: Regex | None = None
    choice: Choice | None = None
    tools: Tools | None = None
    tool_choice: ToolChoice | None = None
    stream: Annotated[bool, Field(strict=True)] = False
    dimensions: Annotated[int, Field(strict=True, ge=1, le=65_536)] | None = None
    custom_id: CustomId = ""
    metadata: Metadata = Field(default_factory=dict)
    timeout_s: Annotated[float, Field(strict=True, gt=0, le=86_400)] | None = None
    _shape: Shape | None = PrivateAttr(default=None)

    @model_validator(mode="after")
    def _of_one_kind(self) -> Self:
        kind = self.kind
        for name in sorted(self.model_fields_set & FOREIGN[kind]):
            if getattr(self, name) is not None:
                raise wrong(name, f"means nothing beside {kind}")
        if self.tool_choice is not None:
            check_choice(self.tool_choice, self.tools or ())
        if self.input is not None:
            check_vectors(len(self.input), self.dimensions or LIKELY_DIMENSIONS)
        self._shape = checked_shape(self.response_format, self.regex, self.choice)
        return self

    @property
    def kind(self) -> str:
        """`messages`, `prompt` or `input`: the one that is there."""
        given = [name for name in FOREIGN if getattr(self, name) is not None]
        if not given:
            raise wrong("messages", "this field is required, or else prompt or input")
        if len(given) > 1:
            raise wrong(given[1], f"has no place beside {given[0]}; send one of them")
        return given[0]

    def to_wire(self) -> ChatInput | CompletionInput | EmbeddingInput:
        """The engine's work."""
        if self.input is not None:
            return EmbeddingInput(texts=self.input, dimensions=self.dimensions)
        how: dict[str, Any] = {
            "temperature": self.temperature,
            "sampling": self._sampling(),
            "shape": self._shape,
            "stream": self.stream,
        }
        if "max_output_tokens" in self.model_fields_set:  # what nobody asked for may be shortened: see `scales.Load`
            how["max_output_tokens"] = self.max_output_tokens
        if self.prompt is not None:
            return CompletionInput(prompt=self.prompt, **how)
        tools = {"tools": self.tools, "tool_choice": self.tool_choice} if self.tools else {}
        return ChatInput(messages=self.messages or (), **how, **tools)

    def _sampling(self) -> Sampling:
        given = {name: getattr(self, name) for name in self.model_fields_set & SAMPLING}
        return Sampling(**{name: value for name, value in given.items() if value is not None}) if given else PLAIN


def check_vectors(texts: int, dimensions: int) -> None:
    """Raises what `wrong` makes for more vectors than one answer should hold."""
    most = MAX_NUMBERS // dimensions
    if texts > most:
        said = f"at {dimensions:,} dimensions a job takes at most {most:,} texts, not {texts:,}"
        raise wrong("input", f"{said}; send fewer texts a job, or ask for fewer dimensions")


class JobBody(WorkBody):
    """`POST /v1/jobs`."""

    model: ModelAlias | None = None
    lane: Lane = Lane.INTERACTIVE
    deadline_s: Deadline | None = None
    keep_s: Keep | None = None
    callback_url: CallbackUrl | None = None


class LineBody(WorkBody):
    """One line of `POST /v1/jobs` as JSON Lines; lane, deadline, priority and keep_s are the whole file's."""

    model: ModelAlias | None = None


class LabelBody(Body):
    """One class of a classification."""

    name: Annotated[str, Field(min_length=1, max_length=128)]
    description: Annotated[str, Field(max_length=1024)] = ""


class OptionsBody(Body):
    """What a task needs to know besides the document. A label may be just its name."""

    labels: Annotated[tuple[LabelBody, ...], Field(max_length=256)] = ()
    multi: Annotated[bool, Field(strict=True)] = False
    rationale: Annotated[bool, Field(strict=True)] = False
    question: Annotated[str, Field(max_length=8192)] = ""
    questions: Annotated[tuple[Annotated[str, Field(max_length=8192)], ...], Field(max_length=256)] = ()
    prompt: Annotated[str, Field(max_length=32_768)] = ""
    length: Literal["", "short", "medium", "long"] = ""
    style: Literal["", "prose", "bullets"] = ""
    language: Annotated[str, Field(max_length=64)] = ""
    schema_: Annotated[dict[str, Any] | None, Field(alias="schema")] = None
    quotes: Annotated[bool, Field(strict=True)] = True
    max_output_tokens: OutputTokens = 256

    @field_validator("labels", mode="before")
    @classmethod
    def _names(cls, labels: object) -> object:
        if not isinstance(labels, list | tuple):
            return labels
        return [{"name": label} if isinstance(label, str) else label for label in labels]

    def to_wire(self, task: AnalysisTask) -> TaskOptions:
        """The options of a task, with as many tokens for its answer as it usually takes where nobody says."""
        said = "max_output_tokens" in self.model_fields_set
        return TaskOptions(
            labels=tuple(Label(name=label.name, description=label.description) for label in self.labels),
            multi=self.multi,
            rationale=self.rationale,
            question=self.question,
            questions=self.questions,
            prompt=self.prompt,
            length=self.length,
            style=self.style,
            language=self.language,
            json_schema=self.schema_,
            quotes=self.quotes,
            max_output_tokens=self.max_output_tokens if said else usual_tokens(task, multi=self.multi),
        )


class NoteBody(Body):
    """What the sender of a file says of it."""

    name: DocumentName = ""
    custom_id: CustomId = ""
    metadata: Metadata = Field(default_factory=dict)


class DocumentBody(NoteBody):
    """A document that is sent as text, or was uploaded before (`POST /v1/files`)."""

    text: str | None = None
    file_id: Annotated[str, Field(max_length=128)] | None = None

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if self.text is None and self.file_id is None:
            raise wrong("text", "this field is required, or else file_id")
        if self.text is not None and self.file_id is not None:
            raise wrong("file_id", "has no place beside text; send one of them")
        return self


class OrderBody(Body):
    """What `POST /v1/analyses` takes in either form."""

    task: AnalysisTask
    options: OptionsBody = OptionsBody()
    lane: Lane = Lane.BATCH
    model: ModelAlias | None = None
    deadline_s: Deadline | None = None
    priority: Priority = Priority.NORMAL
    callback_url: CallbackUrl | None = None
    retention_hours: Retention | None = None
    metadata: Metadata = Field(default_factory=dict)


def _few_enough(given: object, info: ValidationInfo) -> object:
    """As it is. Raises TooLarge before the first of too many is looked at: a million held all requests up."""
    if isinstance(given, list) and isinstance(info.context, ApiSection):
        check_count(len(given), info.context, param="documents")
    return given


class AnalysisBody(OrderBody):
    """`POST /v1/analyses` as JSON."""

    documents: Annotated[tuple[DocumentBody, ...], Field(fail_fast=True), BeforeValidator(_few_enough)]


def check_query(given: Iterable[str], known: Sequence[str], *, of: str) -> None:
    """Query parameters that are not known are refused as fields are: a misspelt deadline must not be no deadline."""
    for name in given:
        if name not in known:
            message = f"{name[:64]}: there is no such query parameter of {of}."
            raise UsageError(message, hint=f"Known are {', '.join(known)}.", param=name[:64])
