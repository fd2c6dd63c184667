"""The wire contract of the queue: what a job is, and what came of it.

Every record carries `SCHEMA`. Inside one schema major unknown fields are ignored, so that a fleet can be
upgraded worker by worker; a worker leaves hints of a newer schema alone.
"""

from __future__ import annotations

import re
import secrets
import time
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

SCHEMA = 1
"""Major version of the records in Redis and of the hints."""

MODEL_PATTERN = r"^[a-z0-9][a-z0-9._-]{0,63}$"
READER_MODEL = "read"
"""The pseudo-model of the CPU lane: its queues are `interactive.read` and `batch.read`."""

CROCKFORD = "0123456789abcdefghjkmnpqrstvwxyz"
ID_PATTERN = re.compile(r"^(job|an)_[0-9a-z]{26}(-[0-9a-z]{1,24})?$")


class Lane(StrEnum):
    """Which of the two lanes a job travels in."""

    INTERACTIVE = "interactive"
    BATCH = "batch"


class State(StrEnum):
    """Where a job stands: waiting → queued → running → one of the terminal states."""

    WAITING = "waiting"
    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    DEAD = "dead"


TERMINAL = frozenset({State.SUCCEEDED, State.FAILED, State.CANCELLED, State.EXPIRED, State.DEAD})


class TaskName(StrEnum):
    """The Celery task that a job's hint names."""

    RUN = "viiwork.run"
    READ = "viiwork.read"
    MERGE = "viiwork.merge"


class Settle(StrEnum):
    """When a job's end is the end of its item (a document, or the job itself)."""

    ALWAYS = "always"
    ON_FAILURE = "failure"
    NEVER = "never"


class Wire(BaseModel):
    """A record on the internal wire: frozen, and deaf to fields it does not know."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Fault(Wire):
    """Why a job did not succeed: a code for programs, a sentence for people."""

    code: str
    message: str
    hint: str = ""


class Usage(Wire):
    """Tokens that one engine call took in and gave out."""

    prompt_tokens: int = 0
    output_tokens: int = 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            prompt_tokens=self.prompt_tokens + other.prompt_tokens,
            output_tokens=self.output_tokens + other.output_tokens,
        )


class Message(Wire):
    """One turn of a chat."""

    role: Literal["system", "user", "assistant"]
    content: str


class ChatInput(Wire):
    """A raw request for a language model."""

    kind: Literal["chat"] = "chat"
    messages: tuple[Message, ...]
    max_output_tokens: int = 512
    temperature: float = 0.0


class Label(Wire):
    """One class of a classification; a one-line description sharpens it."""

    name: str
    description: str = ""


class AnalysisTask(StrEnum):
    """What to do with each document."""

    SUMMARIZE = "summarize"
    CLASSIFY = "classify"
    ASK = "ask"


class TaskOptions(Wire):
    """What a task needs to know besides the document."""

    labels: tuple[Label, ...] = ()
    question: str = ""
    max_output_tokens: int = 256


class StepInput(Wire):
    """One engine call of an analysis: a task on one passage, or on the joined answers of several (`reduce`).

    Language-model engines render it to chat messages (`documents.tasks.messages_for`); the extractive engine
    works on it as it is.
    """

    kind: Literal["step"] = "step"
    stage: Literal["map", "reduce"] = "map"
    task: AnalysisTask
    options: TaskOptions = TaskOptions()
    title: str = ""
    text: str
    part: int = 0
    parts: int = 1
    page_starts: tuple[tuple[int, int], ...] = ()
    """(character of `text`, page) for each page that it has text of; empty when pages mean nothing."""


class ReadInput(Wire):
    """Read one document, cut it and submit its engine jobs. Exactly one of `blob` and `text` is set."""

    kind: Literal["read"] = "read"
    name: str
    blob: str | None = None
    text: str | None = None
    task: AnalysisTask
    options: TaskOptions = TaskOptions()
    model: str


class MergeInput(Wire):
    """Combine the answers of `parts` (job ids) to the document's answer, or to one more engine job."""

    kind: Literal["merge"] = "merge"
    parts: tuple[str, ...]
    level: int = 0
    below: tuple[str, ...] = ()
    """The parts of the levels below: what they found and cost belongs to the document's answer."""
    task: AnalysisTask
    options: TaskOptions = TaskOptions()
    title: str = ""
    model: str
    leaves: int = 1
    """Parts that the document was cut into."""
    pages: int = 0
    characters: int = 0
    notes: tuple[str, ...] = ()
    """What a reader of the answer must know about the document, such as pages without text."""


EngineInput = Annotated[ChatInput | StepInput, Field(discriminator="kind")]
JobInput = Annotated[ChatInput | StepInput | ReadInput | MergeInput, Field(discriminator="kind")]


class Evidence(Wire):
    """A verbatim quote that an answer rests on."""

    quote: str
    page: int | None = None


class Answer(Wire):
    """What an engine, or the merge of several engine answers, says."""

    text: str
    label: str | None = None
    confidence: float | None = None
    scores: dict[str, float] = Field(default_factory=dict)
    evidence: tuple[Evidence, ...] = ()
    notice: str = ""
    """What kind of engine answered, where it is not a language model: shown with every answer."""
    engine: str = ""
    model: str = ""
    usage: Usage = Usage()
    pages: int = 0
    parts: int = 1
    notes: tuple[str, ...] = ()


class Job(Wire):
    """A job as it is submitted. Everything after that lives in its record and is changed by scripts alone."""

    schema_version: int = SCHEMA
    id: str
    tenant: str
    lane: Lane
    task: TaskName = TaskName.RUN
    model: Annotated[str, Field(pattern=MODEL_PATTERN)]
    input: JobInput
    custom_id: str = ""
    metadata: dict[str, str] = Field(default_factory=dict)
    batch: str = ""
    """The analysis or batch that counts this job; empty for a job on its own."""
    item: str = ""
    """The id of the job whose row this job's end may settle; empty means this job's own."""
    settle: Settle = Settle.ALWAYS
    then: str = ""
    """The job that waits for this one to end."""
    waits_for: int = 0
    """How many jobs name this one as their `then`; it is not released before they have all ended."""
    bulk: bool = False
    """A part of a very long document: it goes when its batch has nothing else waiting."""
    prompt_tokens: int = 0
    max_output_tokens: int = 0
    timeout_s: float = 600.0

    @property
    def queue(self) -> str:
        """The queue that this job's hint goes to, such as `batch.extractive-preview`."""
        return f"{self.lane.value}.{self.model}"

    @property
    def cost(self) -> int:
        """What the job is expected to take, in tokens; at least 1."""
        return max(1, self.prompt_tokens + self.max_output_tokens)


class Result(Wire):
    """What a job came to: an answer or a fault, never both."""

    answer: Answer | None = None
    fault: Fault | None = None


class Status(Wire):
    """A job's record as a client may see it. Times are Unix milliseconds on Redis' clock."""

    id: str
    state: State
    lane: Lane
    model: str
    task: TaskName
    tenant: str
    batch: str = ""
    custom_id: str = ""
    metadata: dict[str, str] = Field(default_factory=dict)
    attempt: int = 0
    worker: str = ""
    created_ms: int = 0
    started_ms: int | None = None
    finished_ms: int | None = None
    expires_ms: int | None = None
    answer: Answer | None = None
    error: Fault | None = None


class Counts(Wire):
    """How the items of a batch stand. `total` is final once the batch is sealed."""

    total: int = 0
    succeeded: int = 0
    failed: int = 0
    cancelled: int = 0

    @property
    def settled(self) -> int:
        return self.succeeded + self.failed + self.cancelled


class BatchState(StrEnum):
    """Where a batch stands; `uploading` until its last item is submitted."""

    UPLOADING = "uploading"
    RUNNING = "running"
    CANCELLING = "cancelling"
    COMPLETED = "completed"
    CANCELLED = "cancelled"


class BatchStatus(Wire):
    """A batch or analysis as a client may see it. Times are Unix milliseconds on Redis' clock."""

    id: str
    state: BatchState
    tenant: str
    lane: Lane
    model: str
    task: str
    counts: Counts
    created_ms: int
    finished_ms: int | None = None
    expires_ms: int | None = None

    @property
    def finished(self) -> bool:
        return self.state in (BatchState.COMPLETED, BatchState.CANCELLED)


class Row(Wire):
    """One line of an analysis' results: a document and what came of it."""

    index: int
    custom_id: str
    document: str
    state: State
    answer: Answer | None = None
    error: Fault | None = None
    metadata: dict[str, str] = Field(default_factory=dict)
    seconds: float = 0.0
    """From submission to the end of its last job."""


def new_id(prefix: Literal["job", "an"]) -> str:
    """A new id: 10 characters of Unix milliseconds, then 80 random bits; sorts by time of creation."""
    moment = int(time.time() * 1000)
    stamp = "".join(CROCKFORD[(moment >> shift) & 31] for shift in range(45, -5, -5))
    return f"{prefix}_{stamp}" + "".join(secrets.choice(CROCKFORD) for _ in range(16))


def child_id(parent: str, suffix: str) -> str:
    """The id of a job that belongs to `parent`'s batch: `an_…-12` → `an_…-12c0`, so that a retry submits the same."""
    return f"{parent}-{suffix}" if "-" not in parent else f"{parent}{suffix}"


def batch_of(job_id: str) -> str:
    """The batch that a job's id names, or an empty string."""
    head, dash, _ = job_id.partition("-")
    return head if dash else ""


def as_json(record: BaseModel) -> str:
    """The record as compact JSON, defaults left out."""
    return record.model_dump_json(exclude_defaults=True)


def public(record: BaseModel) -> dict[str, Any]:
    """The record as a client sees it: JSON types, absent values left out."""
    return record.model_dump(mode="json", exclude_none=True)
