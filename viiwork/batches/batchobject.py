"""A batch that came as a file, as its record tells it and as the OpenAI API shows it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from viiwork.batches.linecheck import LineFault
from viiwork.jobs import BatchState, BatchStatus, Priority, new_id

BATCH_ID = re.compile(r"batch_([0-9a-z]{26})")
Stage = Literal["validating", "failed", "in_progress", "finalizing", "completed", "expired", "cancelling", "cancelled"]
Outcome = Literal["failed", "completed", "expired", "cancelled"]
OUTCOMES: dict[str, Outcome] = {"failed": "failed", "completed": "completed", "expired": "expired"}
OVER = frozenset({"failed", "completed", "expired", "cancelled"})


def new_batch() -> str:
    """The inner id of a new batch."""
    return new_id("an")


def outer(batch: str) -> str:
    """The id that clients see."""
    return f"batch_{batch.partition('_')[2]}"


def inner(batch: str) -> str | None:
    """The inner id of one that clients name; None for what is none."""
    found = BATCH_ID.fullmatch(batch)
    return f"an_{found[1]}" if found else None


@dataclass(frozen=True, slots=True)
class Facts:
    """A batch's record. Times are Unix milliseconds on Redis' clock."""

    status: BatchStatus
    endpoint: str
    input_file: str
    window: str
    closer: str
    """The job that writes its files."""
    lines: int | None = None
    """How many lines it has, once that is known."""
    errors: tuple[LineFault, ...] = ()
    output_file: str | None = None
    error_file: str | None = None
    outputs_ms: int | None = None
    in_progress_ms: int | None = None
    refused_ms: int | None = None
    ending_ms: int | None = None
    """When it was cancelled or expired."""
    concluded_ms: int | None = None
    outcome: Outcome | None = None
    """What it came to, once its files are written."""

    @property
    def ends_as(self) -> Outcome:
        """What it comes to, of one whose jobs have all ended; one with lines that had no time left has expired."""
        if self.refused_ms:
            return "failed"
        if self.status.state is BatchState.EXPIRED:
            return "expired"
        return "completed" if self.status.state is BatchState.COMPLETED else "cancelled"

    @property
    def stage(self) -> Stage:
        """Where it stands."""
        state = self.status.state
        if self.refused_ms:
            return "failed"
        if self.outcome:
            return self.outcome
        if state in (BatchState.UPLOADING, BatchState.RUNNING):
            return "in_progress" if self.in_progress_ms else "validating"
        if state in (BatchState.COMPLETED, BatchState.EXPIRED):
            return "finalizing"
        return "cancelling"


def file_batch(status: BatchStatus, record: Mapping[str, str]) -> Facts:
    """What the fields say that only such batches have."""
    times = {name: _number(record, name) for name in ("in_progress_ms", "refused_ms", "ending_ms", "concluded_ms")}
    return Facts(
        status=status,
        endpoint=record["endpoint"],
        input_file=record["input_file"],
        window=record["window"],
        closer=record["closer"],
        lines=_number(record, "lines"),
        errors=tuple(LineFault.model_validate(one) for one in json.loads(record.get("errors") or "[]")),
        output_file=record.get("output_file"),
        error_file=record.get("error_file"),
        outputs_ms=_number(record, "outputs_ms"),
        outcome=OUTCOMES.get(record["outcome"], "cancelled") if record.get("outcome") else None,
        **times,
    )


class RequestCounts(BaseModel):
    """How its lines stand."""

    total: int
    completed: int
    failed: int


class CachedTokens(BaseModel):
    """Of the prompts' tokens."""

    cached_tokens: int = 0


class ReasoningTokens(BaseModel):
    """Of the answers' tokens."""

    reasoning_tokens: int = 0


class BatchUsage(BaseModel):
    """Tokens of all engine calls that ended so far."""

    input_tokens: int
    input_tokens_details: CachedTokens = CachedTokens()
    output_tokens: int
    output_tokens_details: ReasoningTokens = ReasoningTokens()
    total_tokens: int


class BatchErrors(BaseModel):
    """What is wrong with the file."""

    object: Literal["list"] = "list"
    data: list[LineFault]


class BatchObject(BaseModel):
    """A batch. Times are Unix seconds. `paused`, `held` (why no more lines come in) and `priority` are extensions."""

    model_config = ConfigDict(protected_namespaces=())

    id: str
    object: Literal["batch"] = "batch"
    endpoint: str
    model: str | None
    errors: BatchErrors | None
    input_file_id: str
    completion_window: str
    status: Stage
    output_file_id: str | None
    error_file_id: str | None
    created_at: int
    in_progress_at: int | None
    expires_at: int | None
    finalizing_at: int | None
    completed_at: int | None
    failed_at: int | None
    expired_at: int | None
    cancelling_at: int | None
    cancelled_at: int | None
    request_counts: RequestCounts
    usage: BatchUsage
    metadata: dict[str, str] | None
    paused: bool
    held: str | None
    priority: Priority


class BatchPage(BaseModel):
    """Some of the batches; `after` with `last_id` goes on."""

    object: Literal["list"] = "list"
    data: list[BatchObject]
    first_id: str | None
    last_id: str | None
    has_more: bool


def shown(facts: Facts) -> dict[str, Any]:
    """A batch as clients see it."""
    status, stage = facts.status, facts.stage
    ended = {stage: facts.concluded_ms or facts.refused_ms} if stage in OVER else {}
    finished = status.state in (BatchState.COMPLETED, BatchState.EXPIRED) and not facts.refused_ms
    stopped = stage in ("cancelling", "cancelled")
    return BatchObject(
        id=outer(status.id),
        endpoint=facts.endpoint,
        model=status.model or None,
        errors=BatchErrors(data=list(facts.errors)) if facts.errors else None,
        input_file_id=facts.input_file,
        completion_window=facts.window,
        status=stage,
        output_file_id=facts.output_file,
        error_file_id=facts.error_file,
        created_at=status.created_ms // 1000,
        in_progress_at=_seconds(facts.in_progress_ms),
        expires_at=_seconds(status.deadline_ms),
        finalizing_at=_seconds(status.finished_ms) if finished else None,
        completed_at=_seconds(ended.get("completed")),
        failed_at=_seconds(facts.refused_ms),
        expired_at=_seconds(ended.get("expired")),
        cancelling_at=_seconds(facts.ending_ms) if stopped else None,
        cancelled_at=_seconds(ended.get("cancelled")),
        request_counts=counts(facts),
        usage=usage(status),
        metadata=status.metadata or None,
        paused=status.paused,
        held=status.held,
        priority=status.priority,
    ).model_dump(mode="json")


def counts(facts: Facts) -> RequestCounts:
    """How the lines stand; once it is over, whatever has no answer has failed."""
    found = facts.status.counts
    total = facts.lines or 0
    failed = total - found.succeeded if facts.concluded_ms and total else found.failed
    return RequestCounts(total=total, completed=found.succeeded, failed=max(0, failed))


def usage(status: BatchStatus) -> BatchUsage:
    """What all its calls of engines came to."""
    taken, given = (status.usage.prompt_tokens, status.usage.output_tokens) if status.usage else (0, 0)
    return BatchUsage(input_tokens=taken, output_tokens=given, total_tokens=taken + given)


def output_name(facts: Facts, kind: Literal["output", "errors"]) -> str:
    """What a file that it writes is called."""
    return f"{outer(facts.status.id)}_{kind}.jsonl"


def _number(record: Mapping[str, str], name: str) -> int | None:
    return int(record[name]) if record.get(name) else None


def _seconds(moment_ms: int | None) -> int | None:
    return moment_ms // 1000 if moment_ms else None
