"""What clients may send. Unknown fields are refused here, at the door, and nowhere else."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from viiwork.errors import UsageError
from viiwork.jobs import Lane, Priority
from viiwork.work import AnalysisTask, Label, Message, TaskOptions

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


class Body(BaseModel):
    """A request body."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class MessageBody(Message):
    """One turn of a chat; a wire message already, so that it need not be copied."""

    model_config = ConfigDict(extra="forbid")


class ChatBody(Body):
    """What a job asks of an engine, however it is sent."""

    messages: Annotated[tuple[MessageBody, ...], Field(min_length=1, max_length=1024)]
    max_output_tokens: OutputTokens = 512
    temperature: Annotated[float, Field(strict=True, ge=0, le=2)] = 0.0
    custom_id: CustomId = ""
    metadata: Metadata = Field(default_factory=dict)
    timeout_s: Annotated[float, Field(strict=True, gt=0, le=86_400)] | None = None


class JobBody(ChatBody):
    """`POST /v1/jobs`."""

    model: ModelAlias | None = None
    lane: Lane = Lane.INTERACTIVE
    deadline_s: Deadline | None = None


class LineBody(ChatBody):
    """One line of `POST /v1/jobs` as JSON Lines; lane, deadline and priority are the whole file's."""

    model: ModelAlias | None = None


class LabelBody(Body):
    """One class of a classification."""

    name: Annotated[str, Field(min_length=1, max_length=128)]
    description: Annotated[str, Field(max_length=1024)] = ""


class OptionsBody(Body):
    """What a task needs to know besides the document. A label may be just its name."""

    labels: Annotated[tuple[LabelBody, ...], Field(max_length=256)] = ()
    question: Annotated[str, Field(max_length=8192)] = ""
    max_output_tokens: OutputTokens = 256

    @field_validator("labels", mode="before")
    @classmethod
    def _names(cls, labels: object) -> object:
        if not isinstance(labels, list | tuple):
            return labels
        return [{"name": label} if isinstance(label, str) else label for label in labels]

    def to_wire(self) -> TaskOptions:
        labels = tuple(Label(name=label.name, description=label.description) for label in self.labels)
        return TaskOptions(labels=labels, question=self.question, max_output_tokens=self.max_output_tokens)


class NoteBody(Body):
    """What the sender of a file says of it."""

    name: DocumentName = ""
    custom_id: CustomId = ""
    metadata: Metadata = Field(default_factory=dict)


class TextBody(NoteBody):
    """A document that is sent as text."""

    text: str


class OrderBody(Body):
    """What `POST /v1/analyses` takes in either form."""

    task: AnalysisTask
    options: OptionsBody = OptionsBody()
    lane: Lane = Lane.BATCH
    model: ModelAlias | None = None
    deadline_s: Deadline | None = None
    priority: Priority = Priority.NORMAL
    callback_url: str | None = None


class AnalysisBody(OrderBody):
    """`POST /v1/analyses` as JSON."""

    documents: tuple[TextBody, ...]


def check_query(given: Iterable[str], known: Sequence[str], *, of: str) -> None:
    """Query parameters that are not known are refused as fields are: a misspelt deadline must not be no deadline."""
    for name in given:
        if name not in known:
            message = f"{name[:64]}: there is no such query parameter of {of}."
            raise UsageError(message, hint=f"Known are {', '.join(known)}.", param=name[:64])


def complaint(errors: Sequence[Mapping[str, Any]], *, within: str = "") -> tuple[str, str]:
    """The first thing that is wrong with a body: its field and the reason. What was sent is not repeated."""
    first = errors[0]
    parts = [str(part) for part in first["loc"] if part not in ("body", "query", "path")]
    return ".".join(([within] if within else []) + parts), _reason(first)


def _reason(first: Mapping[str, Any]) -> str:
    if first["type"] == "extra_forbidden":
        return "there is no such field"
    if first["type"] == "missing":
        return "this field is required"
    if first["type"] in ("too_short", "too_long"):  # pydantic speaks of a tuple "after validation"
        given = first["ctx"]
        bound = f"at least {given['min_length']}" if "min_length" in given else f"at most {given['max_length']}"
        return f"must have {bound} {'entry' if bound.endswith(' 1') else 'entries'}"
    return str(first["msg"]).rstrip(".")
