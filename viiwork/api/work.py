"""What is taken in, from whom, and the jobs it becomes."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import Request

from viiwork.api.requests import JobBody
from viiwork.errors import UsageError
from viiwork.jobs import READER_MODEL, Job, Lane, Settle, TaskName, child_id
from viiwork.store.blobs import BlobRef
from viiwork.work import AnalysisTask, ChatInput, ReadInput, TaskOptions

IDEMPOTENCY_KEY = re.compile(r"^[\x21-\x7e]{1,255}$")
NOT_IN_LABELS = re.compile(r"[^A-Za-z0-9._@+-]")


@dataclass(frozen=True, slots=True)
class Sender:
    """Who sends, and under which Idempotency-Key."""

    tenant: str
    key: str | None


@dataclass(frozen=True, slots=True)
class Item:
    """One document of an order: its bytes lie in `blob`, or it is `text`."""

    name: str
    custom_id: str = ""
    metadata: dict[str, str] = field(default_factory=dict)
    blob: BlobRef | None = None
    text: str | None = None

    def canonical(self) -> list[Any]:
        """What makes this document the same as another; where its bytes lie does not."""
        digest = self.blob.sha256 if self.blob else hashlib.sha256((self.text or "").encode()).hexdigest()
        return [self.name, self.custom_id, self.metadata, digest]


@dataclass(frozen=True, slots=True)
class Order:
    """An analysis that has been checked and can be submitted."""

    task: AnalysisTask
    options: TaskOptions
    lane: Lane
    model: str
    asked_model: str | None
    items: Sequence[Item]

    def canonical(self) -> list[Any]:
        options = self.options.model_dump(mode="json")
        return [self.task, options, self.lane, self.asked_model, [item.canonical() for item in self.items]]


def sender(request: Request) -> Sender:
    """Who sends this request. Raises UsageError for an unusable Idempotency-Key."""
    client = request.client.host if request.client else "unknown"
    label = NOT_IN_LABELS.sub("_", request.headers.get("x-viiwork-submitter", "").strip())[:128]
    key = request.headers.get("idempotency-key")
    if key is not None and not IDEMPOTENCY_KEY.match(key):
        message = "Idempotency-Key: must be 1 to 255 printable ASCII characters without spaces."
        raise UsageError(message, param="Idempotency-Key")
    return Sender(tenant=label or f"anonymous@{client}", key=key)


def fingerprint(kind: str, canonical: object) -> str:
    """The same for the same request, however its body was written."""
    text = json.dumps([kind, canonical], sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def single(body: JobBody, model: str, tenant: str, job_id: str, default_timeout_s: float) -> Job:
    """The job of `POST /v1/jobs`."""
    messages = tuple(message.to_wire() for message in body.messages)
    characters = sum(len(message.content) for message in messages)
    return Job(
        id=job_id,
        tenant=tenant,
        lane=body.lane,
        task=TaskName.RUN,
        model=model,
        input=ChatInput(messages=messages, max_output_tokens=body.max_output_tokens, temperature=body.temperature),
        custom_id=body.custom_id,
        metadata=body.metadata,
        prompt_tokens=-(-characters // 4),  # a rough price for the scheduler; the engine counts exactly
        max_output_tokens=body.max_output_tokens,
        timeout_s=body.timeout_s or default_timeout_s,
    )


def reading(batch_id: str, order: Order, index: int, item: Item, *, tenant: str, timeout_s: float) -> Job:
    """The job that reads one document; it settles the document's row only if it fails."""
    source = ReadInput(
        name=item.name,
        blob=item.blob.id if item.blob else None,
        text=item.text,
        task=order.task,
        options=order.options,
        model=order.model,
    )
    return Job(
        id=child_id(batch_id, str(index)),
        tenant=tenant,
        lane=order.lane,
        task=TaskName.READ,
        model=READER_MODEL,
        input=source,
        custom_id=item.custom_id,
        metadata=item.metadata,
        batch=batch_id,
        settle=Settle.ON_FAILURE,
        timeout_s=timeout_s,
    )
