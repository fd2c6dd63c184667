"""What clients may send. Unknown fields are refused here, at the door, and nowhere else."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from viiwork.jobs import Lane
from viiwork.work import AnalysisTask, Label, Message, TaskOptions

CustomId = Annotated[str, Field(max_length=256)]
MetadataKey = Annotated[str, Field(min_length=1, max_length=64)]
MetadataValue = Annotated[str, Field(max_length=512)]
Metadata = Annotated[dict[MetadataKey, MetadataValue], Field(max_length=16)]
DocumentName = Annotated[str, Field(max_length=1024)]
OutputTokens = Annotated[int, Field(strict=True, ge=1, le=131_072)]  # strict: `true` is no number
ModelAlias = Annotated[str, Field(max_length=64)]


class Body(BaseModel):
    """A request body."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class MessageBody(Body):
    """One turn of a chat."""

    role: Literal["system", "user", "assistant"]
    content: str

    def to_wire(self) -> Message:
        return Message(role=self.role, content=self.content)


class JobBody(Body):
    """`POST /v1/jobs`."""

    model: ModelAlias
    messages: Annotated[tuple[MessageBody, ...], Field(min_length=1, max_length=1024)]
    max_output_tokens: OutputTokens = 512
    temperature: Annotated[float, Field(strict=True, ge=0, le=2)] = 0.0
    lane: Lane = Lane.INTERACTIVE
    custom_id: CustomId = ""
    metadata: Metadata = Field(default_factory=dict)
    timeout_s: Annotated[float, Field(strict=True, gt=0, le=86_400)] | None = None


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
    callback_url: str | None = None


class AnalysisBody(OrderBody):
    """`POST /v1/analyses` as JSON."""

    documents: tuple[TextBody, ...]
