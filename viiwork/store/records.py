"""Between the wire types and the flat hashes that Redis keeps."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

from pydantic import ValidationError

from viiwork.jobs import (
    Attempt,
    BatchState,
    BatchStatus,
    Counts,
    Fault,
    Job,
    Lane,
    Made,
    Priority,
    Result,
    Row,
    State,
    Status,
    TaskName,
)
from viiwork.wire import as_json
from viiwork.work import Answer, ChatInput, CloseInput, CompletionInput, ReadInput, Usage

INLINE_BYTES = 16 * 1024
"""Inputs and outputs over this go to the blob store."""

PLACE = re.compile("[0-9]{1,9}")
"""Of what was sent, at the beginning of an item's own name; what was inside it shares its place."""

SIGNED = ("model", "revision", "quantization", "engine", "engine_version")
"""What a row tells of whoever was asked for it."""

Hash = Mapping[str, str]
UNREADABLE = Result(
    fault=Fault(code="unreadable_result", message="What was kept of this job cannot be read.", hint="Send it again.")
)
"""Of this job alone: the others of its batch can be read."""


def job_fields(
    job: Job, *, input_json: str, input_blob: str, ttl_ms: int, schema: int = 1, shared_blobs: str = ""
) -> list[str]:
    """A job as field, value, field, value, …: empty ones left out.

    `schema` is what the input needs as it is stored, where that is more than the job needs.
    """
    fields: dict[str, str] = {
        "schema": str(max(schema, job.schema_version)),
        "task": job.task.value,
        "tenant": job.tenant,
        "lane": job.lane.value,
        "model": job.model,
        "queue": job.queue,
        "batch": job.batch,
        "item": job.item,
        "settle": job.settle.value,
        "then": job.then,
        "waits_for": str(job.waits_for),
        "cost": str(job.cost),
        "prompt": str(job.prompt_tokens or ""),
        "bulk": "1" if job.bulk else "",
        "stream": "1" if isinstance(job.input, ChatInput | CompletionInput) and job.input.stream else "",
        "custom_id": job.custom_id,
        "digest": job.digest,
        "metadata": json.dumps(job.metadata, separators=(",", ":")) if job.metadata else "",
        "timeout_ms": str(int(job.timeout_s * 1000)),
        "ttl_ms": str(ttl_ms),
        "deadline_in_ms": str(int(job.deadline_s * 1000)) if job.deadline_s else "",
        "callback_url": job.callback_url,
        "account": job.account,
        "input": input_json,
        "input_blob": input_blob,
        "shared_blobs": shared_blobs,
    }
    if isinstance(job.input, ReadInput):
        fields["document"] = job.input.name
        fields["document_blob"] = job.input.blob or ""
        fields["feeds"] = f"{job.lane.value}.{job.input.model}"
    if isinstance(job.input, CloseInput):  # the file of its lines goes with it
        fields["document_blob"] = job.input.blob
    return [part for name, value in fields.items() if value for part in (name, value)]


def status_of(job_id: str, record: Hash, result: Result) -> Status:
    """A job's record as a client may see it."""
    return Status(
        id=job_id,
        state=State(record["state"]),
        lane=Lane(record["lane"]),
        model=record["model"],
        task=TaskName(record["task"]),
        tenant=record.get("tenant", ""),
        batch=record.get("batch", ""),
        custom_id=record.get("custom_id", ""),
        metadata=json.loads(record.get("metadata") or "{}"),
        attempt=int(record.get("attempt", 0)),
        worker=record.get("worker", ""),
        created_ms=int(record["created_ms"]),
        started_ms=_optional(record.get("started_ms")),
        finished_ms=_optional(record.get("finished_ms")),
        expires_ms=_optional(record.get("expires_ms")),
        deadline_ms=_optional(record.get("deadline_ms")),
        strikes=int(record.get("strikes", 0)),
        suspect=record.get("suspect") == "1",
        stream=record.get("stream") == "1",
        history=tuple(_attempt(line) for line in record.get("history", "").split("\n") if line),
        energy_j=_joules(record),
        energy_unknown_jobs=_unknown_jobs(record),
        energy_simulated=record.get("energy_simulated") == "1" or None,
        answer=result.answer,
        error=result.fault,
    )


def batch_status_of(batch_id: str, record: Hash, *, suspects: int = 0) -> BatchStatus:
    """A batch's record as a client may see it, with how many of its unfinished jobs are suspects."""
    return BatchStatus(
        id=batch_id,
        state=BatchState(record["state"]),
        tenant=record.get("tenant", ""),
        lane=Lane(record["lane"]),
        model=record.get("model", ""),
        task=record.get("task", ""),
        counts=Counts(
            total=int(record.get("total") or 0)
            or int(record.get("items") or 0),  # a file of jobs may not tell its length
            succeeded=int(record.get("succeeded", 0)),
            failed=int(record.get("failed", 0)),
            cancelled=int(record.get("cancelled", 0)),
        ),
        created_ms=int(record["created_ms"]),
        finished_ms=_optional(record.get("finished_ms")),
        expires_ms=_optional(record.get("expires_ms")),
        deadline_ms=_optional(record.get("deadline_ms")),
        paused=record.get("paused") == "1",
        held=record.get("held") if record["state"] == BatchState.UPLOADING else None,
        priority=Priority(record.get("priority", Priority.NORMAL)),
        duplicates=_optional(record.get("same")),
        suspects=suspects,
        energy_j=_joules(record),
        energy_unknown_jobs=_unknown_jobs(record),
        energy_simulated=record.get("energy_simulated") == "1" or None,
        usage=_usage(record),
        calls=int(record.get("calls") or 0),
        started_ms=_optional(record.get("ran_from_ms")),
        metadata=json.loads(record.get("metadata") or "{}"),
    )


def _attempt(line: str) -> Attempt:
    """One line of a record's history, as `remember` in lib.lua writes it."""
    attempt, worker, started_ms, ended_ms, end, fault = line.split("\t", 5)
    return Attempt(
        attempt=int(attempt),
        worker=worker,
        started_ms=int(started_ms),
        ended_ms=int(ended_ms),
        end=end,
        fault=_read(fault).fault if fault else None,
    )


def row_of(item_id: str, root: Hash, result: Result, *, task_hash: str = "") -> Row:
    """One settled item: `root` is the record of the job that stands for the document."""
    place, spent = PLACE.match(item_id.rpartition("-")[2]), _spent(root)
    return Row(
        position=_optional(root.get("row")),
        index=int(place[0]) if place else 0,
        custom_id=root.get("custom_id", ""),
        document=root.get("document", ""),
        same_as=root.get("same_document") or None,
        state=State(root["item_state"]),
        answer=result.answer,
        error=result.fault,
        metadata=json.loads(root.get("metadata") or "{}"),
        seconds=max(0, int(root.get("item_ms", 0)) - int(root.get("created_ms", 0))) / 1000,
        energy_j=_joules(root),
        energy_unknown_jobs=_unknown_jobs(root),
        energy_simulated=root.get("energy_simulated") == "1" or None,
        usage=spent[1] if spent else None,
        calls=spent[0] if spent else None,
        made=_made(root, result.answer, task_hash),
    )


def _usage(record: Hash) -> Usage | None:
    """What a batch's calls of engines came to; records of earlier versions do not say."""
    if not record.get("calls"):
        return None
    taken, given = (int(record.get(name) or 0) for name in ("prompt_tokens", "output_tokens"))
    return Usage(prompt_tokens=taken, output_tokens=given)


def _spent(root: Hash) -> tuple[int, Usage] | None:
    """How many calls of engines were for this item, and what they came to, as `commit.lua` adds it up."""
    if not root.get("spent"):
        return None
    calls, taken, given = map(int, root["spent"].split())
    return calls, Usage(prompt_tokens=taken, output_tokens=given)


def _made(root: Hash, answer: Answer | None, task_hash: str) -> Made:
    """As the worker that answered told, else the one that was asked last; what it did not tell stays unknown."""
    known: Mapping[str, str | None] = answer_signature(answer) if answer else json.loads(root.get("made_by") or "{}")
    told = {name: known.get(name) or None for name in SIGNED}
    return Made(task_hash=task_hash or None, attempt=_optional(root.get("attempt")), **told)


def answer_signature(answer: Answer) -> dict[str, str | None]:
    """Who gave it."""
    return {name: getattr(answer, name) for name in SIGNED}


def _joules(record: Hash) -> float | None:
    """What was measured of a job, its document or its batch; records of earlier versions have nothing."""
    return int(record["energy_mj"]) / 1000 if record.get("energy_mj") else None


def _unknown_jobs(record: Hash) -> int:
    """How many of its jobs were not measured, or not to their end: the parts of a document, and the job itself."""
    return int(record.get("energy_unknown") or 0) + (record.get("unmetered") == "1")


def result_of(record: Hash, raw: str | bytes) -> Result:
    """A job's result: what it committed (`raw`), or the fault that a script ended it with."""
    if record.get("fault_code"):
        fault = Fault(code=record["fault_code"], message=record.get("fault_message", ""))
        last = _read(record["last_result"]) if record.get("last_result") else Result()
        if fault.code == "dead" and last.fault:
            fault = fault.model_copy(update={"message": f"{fault.message} The last one said: {last.fault.message}"})
        return Result(fault=fault)
    return _read(raw) if raw else Result()


def _read(raw: str | bytes) -> Result:
    try:
        return Result.model_validate_json(raw)
    except ValidationError:
        return UNREADABLE


def result_json(result: Answer | Fault) -> str:
    """What a worker commits."""
    return as_json(Result(answer=result) if isinstance(result, Answer) else Result(fault=result))


def _optional(value: str | None) -> int | None:
    return int(value) if value and value != "0" else None
