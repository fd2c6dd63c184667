"""The lines of a batch, both ways: a request becomes a job, and what came of the job becomes a line of a file. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from viiwork.api.bodies import complaint, faults_of
from viiwork.api.openai.answers import Facts, response_of
from viiwork.api.openai.bodies import BODIES, AnyBody, ChatBody, EmbeddingBody
from viiwork.api.openai.faults import failure_of
from viiwork.api.openai.orders import jobs_of, parts_of
from viiwork.api.openai.writing import WritingBody
from viiwork.api.scales import Misfit
from viiwork.batches.linecheck import Request
from viiwork.jobs import READER_MODEL, Fault, Job, Lane, Result, Row, Settle, State, TaskName, child_id
from viiwork.work import RefusedInput

ENDPOINTS = tuple(BODIES)
"""What a batch may be for."""
HOW = "viiwork."
"""Begins what is kept with a job of how its answer is written; its sender's own metadata are beside it."""
BASE64, ONE_CALL = f"{HOW}encoding_format", f"{HOW}parallel_tool_calls"
PARTS, CHOICES = f"{HOW}parts", f"{HOW}n"
INVALID = "invalid_request"
FIELD = re.compile(r"([a-z_]+(?:\.[A-Za-z0-9_.-]+)*): ")
EXPIRED = Fault(
    code="batch_expired", message="This request could not be executed before the completion window expired."
)
CANCELLED = Fault(code="batch_cancelled", message="This request was not executed: the batch was cancelled.")
TIMED_OUT = Fault(code="request_timeout", message="This request took longer than a request may take.")


@dataclass(frozen=True, slots=True)
class Target:
    """Where the jobs of a batch's lines go."""

    batch: str
    tenant: str
    endpoint: str
    model: str
    timeout_s: float
    context_tokens: int = 0


def body_of(asked: Request, target: Target) -> AnyBody | Job:
    """What a line asks for; or, where it may not be asked, the job that fails by itself, at once."""
    kind = BODIES[target.endpoint]
    try:
        body = kind.model_validate_json(json.dumps(asked.body))
    except ValidationError as error:
        field, reason = complaint(faults_of(error), of=kind)
        return refused(asked, target, f"{field}: {reason}." if field else f"body: {reason}.")
    if isinstance(body, WritingBody) and body.stream:
        return refused(asked, target, "stream: a batch has no stream; leave it out.")
    return body


def jobs_of_line(asked: Request, body: AnyBody, target: Target) -> list[Job]:
    """The jobs of a line, by ids made from its number; files inside its chat are text by now.

    The last one is the line's own: its end is the line's, and once it is there, so are the others.
    """
    own = _job_id(asked, target)
    first, *others = jobs_of(
        body,
        target.model,
        [own, *_others_of(own, parts_of(body))],
        tenant=target.tenant,
        lane=Lane.BATCH,
        timeout_s=target.timeout_s,
        context_tokens=target.context_tokens,
        batch=target.batch,
        custom_id=asked.custom_id,
    )
    parts = [job.model_copy(update={"item": own, "settle": Settle.NEVER}) for job in others]
    return [*parts, first.model_copy(update={"metadata": first.metadata | _how(body)})]


def refused(asked: Request, target: Target, message: str, *, code: str = INVALID) -> Job:
    """The job of a line that no engine is asked."""
    return Job(
        id=_job_id(asked, target),
        tenant=target.tenant,
        lane=Lane.BATCH,
        task=TaskName.READ,
        model=READER_MODEL,
        input=RefusedInput(code=code, message=message),
        batch=target.batch,
        custom_id=asked.custom_id,
    )


def misfit(asked: Request, target: Target, why: Misfit) -> Job:
    """The same of one that is too long, or that none of the model's workers can do."""
    return refused(asked, target, f"{why.field}: {why.reason}. {why.hint}".strip(), code=why.code)


def others_in(row: Row, target: Target) -> list[str]:
    """The jobs of the further answers of a line that has ended."""
    return _others_of(child_id(target.batch, str(row.index)), int(row.metadata.get(PARTS, "1")))


def line_of(
    row: Row, target: Target, *, created_ms: int, others: Sequence[tuple[State, Result]] = ()
) -> tuple[bool, bytes]:
    """Whether a line goes to the output file, and the line: what came of one request, and of its further answers."""
    job = child_id(target.batch, str(row.index))
    for state, result in others:
        if result.answer is None and row.answer is not None:
            row = row.model_copy(update={"answer": None, "state": state, "error": result.fault})
    if row.answer is not None:
        body = _as_asked(target, row.metadata)
        facts = Facts(job=job, model=target.model, created_ms=created_ms, lane=Lane.BATCH)
        answers = [row.answer, *(result.answer for _, result in others if result.answer is not None)]
        return True, _line(target, row.index, row.custom_id, _response(200, job, response_of(body, answers, facts)))
    if (end := _end_of(row)) is not None:
        return False, unanswered(target, row.index, row.custom_id, end)
    failure = failure_of(row.state, row.error, prompt=BODIES[target.endpoint].asks)
    told = failure.error | {"param": failure.param or _field_of(row.error)}
    return False, _line(target, row.index, row.custom_id, _response(failure.status, job, {"error": told}))


def unanswered(target: Target, index: int, custom_id: str, why: Fault) -> bytes:
    """The line of a request that was never answered; `index` is its place in the file, from 0."""
    return _line(target, index, custom_id, None, {"code": why.code, "message": why.message})


def _field_of(fault: Fault | None) -> str | None:
    """The field that a line was refused for: its message begins with it."""
    refused_for = fault is not None and (fault.code == INVALID or fault.message.startswith("messages."))
    found = FIELD.match(fault.message) if fault is not None and refused_for else None
    return found[1] if found else None


def _end_of(row: Row) -> Fault | None:
    if row.state is State.EXPIRED:
        return EXPIRED
    if row.state is State.CANCELLED:
        return CANCELLED
    return TIMED_OUT if row.error and row.error.code == "timeout" else None


def _response(status: int, request: str, body: dict[str, Any]) -> dict[str, Any]:
    return {"status_code": status, "request_id": f"req_{request}", "body": body}


def _line(
    target: Target,
    index: int,
    custom_id: str,
    response: dict[str, Any] | None,
    error: dict[str, Any] | None = None,
) -> bytes:
    line_id = f"batch_req_{target.batch.partition('_')[2]}_{index + 1}"
    told = {"id": line_id, "custom_id": custom_id, "response": response, "error": error}
    return json.dumps(told, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace") + b"\n"


def _job_id(asked: Request, target: Target) -> str:
    return child_id(target.batch, str(asked.line - 1))


def _others_of(job: str, parts: int) -> list[str]:
    return [child_id(job, f"c{place}") for place in range(1, parts)]


def _how(body: AnyBody) -> dict[str, str]:
    """What its answer's writing needs to know of the request besides the work."""
    if isinstance(body, EmbeddingBody):
        return {BASE64: "base64"} if body.encoding_format == "base64" else {}
    how = {ONE_CALL: "false"} if isinstance(body, ChatBody) and body.parallel_tool_calls is False else {}
    return how | ({PARTS: str(parts_of(body)), CHOICES: str(body.choices)} if parts_of(body) > 1 else {})


def _as_asked(target: Target, metadata: dict[str, str]) -> AnyBody:
    """As much of the request as its response is made by."""
    how: dict[str, Any] = {"model": target.model}
    if BASE64 in metadata:
        how["encoding_format"] = metadata[BASE64]
    if ONE_CALL in metadata:
        how["parallel_tool_calls"] = False
    if CHOICES in metadata:
        how["n"] = int(metadata[CHOICES])
    return BODIES[target.endpoint].model_construct(None, **how)
