"""The wire contract of the queue: what a job is, where it stands, and what came of it.

Every job says which schema it takes. Inside one schema major unknown fields are ignored, so that a fleet can be
upgraded worker by worker; a worker leaves hints of a newer schema alone.
"""

from __future__ import annotations

import re
import secrets
import time
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from viiwork.expense import Cost
from viiwork.schema import schema_of
from viiwork.wire import Wire
from viiwork.work import Answer, JobInput, Usage

MODEL_PATTERN = r"^[a-z0-9][a-z0-9._-]{0,63}$"
READER_MODEL = "read"
"""The pseudo-model of the CPU lane: its queues are `interactive.read` and `batch.read`."""
CROCKFORD = "0123456789abcdefghjkmnpqrstvwxyz"
ID_PATTERN = re.compile(r"^(job|an)_[0-9a-z]{26}(-[0-9a-z]{1,24})?\Z")


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


class Priority(StrEnum):
    """How a batch stands among the other batches of its tenant; it takes nothing from other tenants."""

    LOW = "low"
    NORMAL = "normal"
    HIGH = "high"

    @property
    def weight(self) -> float:
        """Its share beside a batch of weight 1."""
        return {Priority.LOW: 0.25, Priority.NORMAL: 1.0, Priority.HIGH: 4.0}[self]


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


class Fault(Wire):
    """Why a job did not succeed: a code for programs, a sentence for people."""

    code: str
    message: str
    hint: str = ""


class Attempt(Wire):
    """An attempt that came to nothing, and why. Times are Unix milliseconds on Redis' clock."""

    attempt: int
    worker: str
    started_ms: int
    ended_ms: int
    end: str
    """`crashed` (engine or worker died), `retry` (engine fault), `given_back` (worker left) or `lost`."""
    fault: Fault | None = None


class Job(Wire):
    """A job as it is submitted. Everything after that lives in its record and is changed by scripts alone."""

    id: str
    tenant: str
    lane: Lane
    task: TaskName = TaskName.RUN
    model: Annotated[str, Field(pattern=MODEL_PATTERN)]
    input: JobInput
    schema_version: int = Field(default_factory=lambda known: schema_of(known["input"]))
    """What a worker must speak to run it: the oldest that will do, so that a fleet can be upgraded worker by worker."""
    custom_id: str = ""
    digest: str = ""
    """Of a document: the same for those that read the same; its batch answers the second with the first one's row."""
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
    """How long one attempt may take."""
    deadline_s: float | None = None
    """Counted from submission: what has not ended by then is `expired`."""
    keep_s: float | None = None
    """How long it is kept after its end, of a job on its own; None, and at most, as long as the fleet keeps any."""
    callback_url: str = ""
    """Who is told of its end, of a job on its own."""
    account: str = ""
    """Whose limits it counts against (`store.accounts.line`); what a job submits goes on its own account."""

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
    deadline_ms: int | None = None
    strikes: int = 0
    """Attempts that ended in an engine's fault."""
    suspect: bool = False
    """It was in flight when an engine or worker died, and has not succeeded since: it runs as the only one such."""
    stream: bool = False
    """Its text may be heard while it is written."""
    history: tuple[Attempt, ...] = ()
    """The attempts that came to nothing, the last 20 of them."""
    energy_j: float | None = None
    """What the cards used for it, in all its attempts; for a document's first job in all of the document's jobs.

    What was measured: a lower bound where `energy_unknown_jobs` is not 0, None where nothing was."""
    energy_unknown_jobs: int = 0
    energy_simulated: bool | None = None
    """True where some of it is of simulated cards."""
    cost: Cost | None = None
    answer: Answer | None = None
    error: Fault | None = None


class Counts(Wire):
    """How the items of a batch stand. `total` grows while archives and e-mails among them are opened."""

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
    EXPIRED = "expired"


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
    deadline_ms: int | None = None
    paused: bool = False
    held: str | None = None
    """Why no more lines of its file become jobs just now, such as a limit of its sender's."""
    priority: Priority = Priority.NORMAL
    duplicates: int | None = None
    """Its documents whose content is that of an earlier one; its answer is theirs, if it has one, without an engine."""
    suspects: int = 0
    """Its unfinished jobs that were in an engine or worker that died: each worker runs one such at a time."""
    energy_j: float | None = None
    """What the cards used for its jobs so far, as far as it was measured; None where nothing was."""
    energy_unknown_jobs: int = 0
    """Its jobs of which some attempt was not measured, or not to its end."""
    energy_simulated: bool | None = None
    cost: Cost | None = None
    usage: Usage | None = None
    """Tokens of all engine calls that ended so far; None from batches of an earlier version."""
    calls: int = 0
    """How many these were."""
    started_ms: int | None = None
    """When the first of them began."""
    metadata: dict[str, str] = Field(default_factory=dict)

    @property
    def finished(self) -> bool:
        return self.state in (BatchState.COMPLETED, BatchState.CANCELLED, BatchState.EXPIRED)


class Made(Wire):
    """How a row came about; of one without an answer, which engine was asked last. What is not known is None."""

    task_hash: str | None = None
    """Of the task, what it was asked, and the words in which models are told: the same hash, the same request."""
    model: str | None = None
    revision: str | None = None
    quantization: str | None = None
    engine: str | None = None
    engine_version: str | None = None
    attempt: int | None = None
    """How often the document had been begun by then; a retry goes on counting."""


class Row(Wire):
    """One line of an analysis' results: a document and what came of it."""

    position: int | None = None
    """Its place, from 0, in the order of settling: `after` with one more goes on behind it. A row that made way for a
    retry leaves its position empty."""
    index: int
    """The place, from 0, among all that was sent; what was inside one file shares its place."""
    custom_id: str
    document: str
    same_as: str | None = None
    """An earlier document with the same content: whose answer is this one's; if it had none, this was tried itself."""
    state: State
    answer: Answer | None = None
    error: Fault | None = None
    metadata: dict[str, str] = Field(default_factory=dict)
    seconds: float = 0.0
    """From submission to the end of its last job."""
    energy_j: float | None = None
    """What the cards used for all its jobs so far, as far as it was measured; None where nothing was."""
    energy_unknown_jobs: int = 0
    energy_simulated: bool | None = None
    usage: Usage | None = None
    """Tokens of all engine calls for it that ended, failed and retried ones too; None where none is known of."""
    calls: int | None = None
    """How many these were."""
    made: Made | None = None


ROW_BEGINS = re.compile(rb'\{"analysis": *"[^"]*", *"position": *(\d{1,16})[,}]')
"""A line of results, as the service writes it: large rows need not be parsed to know where to go on."""


def behind(line: bytes, *, after: int) -> int:
    """The `after` that goes on behind a line which came of this one; a service of an earlier version counts lines."""
    found = ROW_BEGINS.match(line)
    return int(found[1]) + 1 if found else after + 1


def new_id(prefix: Literal["job", "an"]) -> str:
    """A new id: 10 characters of Unix milliseconds, then 80 random bits; sorts by time of creation."""
    moment = int(time.time() * 1000)
    return f"{prefix}_{_in_letters(moment, 10)}{_in_letters(secrets.randbits(80), 16)}"


def _in_letters(number: int, letters: int) -> str:
    """So many letters of five bits each."""
    return "".join([CROCKFORD[(number >> shift) & 31] for shift in range(5 * letters - 5, -5, -5)])


def child_id(parent: str, suffix: str) -> str:
    """The id of a job that belongs to `parent`'s batch: `an_…-12` → `an_…-12c0`, so that a retry submits the same."""
    return f"{parent}-{suffix}" if "-" not in parent else f"{parent}{suffix}"


def batch_of(job_id: str) -> str:
    """The batch that a job's id names, or an empty string."""
    head, dash, _ = job_id.partition("-")
    return head if dash else ""
