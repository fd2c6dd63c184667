"""What is taken in, from whom, and the jobs it becomes."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from starlette.datastructures import Headers
from starlette.requests import Request

from viiwork.api.principal import principal
from viiwork.api.quota import open_tab
from viiwork.api.requests import JobBody, WorkBody
from viiwork.documents.contents import likeness
from viiwork.errors import UsageError
from viiwork.jobs import READER_MODEL, Job, Lane, Priority, Settle, TaskName, child_id
from viiwork.limits import Account
from viiwork.schema import OF_FIRST
from viiwork.store.accounts import Tab
from viiwork.store.blobs import BlobRef
from viiwork.work import AnalysisTask, ChatInput, CompletionInput, EmbeddingInput, ReadInput, TaskOptions

IDEMPOTENCY_KEY = re.compile(r"^[\x21-\x7e]{1,255}$")
SHA_256 = re.compile(r"(?:^|[,\s])sha-256=:([A-Za-z0-9+/=]*):")


@dataclass(frozen=True, slots=True)
class Sender:
    """Who sends, and under which Idempotency-Key."""

    tenant: str
    key: str | None
    tab: Tab | None = None
    """What its jobs go on, where they are counted."""


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
        return [self.name, self.custom_id, self.metadata, self.sha256]

    @property
    def sha256(self) -> str:
        """Of its bytes, or of its text."""
        return self.blob.sha256 if self.blob else hashlib.sha256((self.text or "").encode()).hexdigest()

    @property
    def digest(self) -> str:
        """The same for documents that read the same."""
        return likeness(self.sha256, self.name) if self.blob else f"text:{self.sha256[:32]}"


@dataclass(frozen=True, slots=True)
class Order:
    """An analysis that has been checked and can be submitted."""

    task: AnalysisTask
    options: TaskOptions
    lane: Lane
    model: str
    asked_model: str | None
    items: Sequence[Item]
    deadline_s: float | None = None
    priority: Priority = Priority.NORMAL
    callback_url: str | None = None
    retention_hours: float | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)

    def canonical(self) -> list[Any]:
        # what came with a later version counts only where it is said: a request that is repeated stays the same one
        later = self.options.model_dump(mode="json", exclude=set(OF_FIRST[TaskOptions]), exclude_defaults=True)
        options = self.options.model_dump(mode="json", include=set(OF_FIRST[TaskOptions])) | later
        said = [self.task, options, self.lane, self.asked_model, self.deadline_s, self.priority]
        told: list[Any] = [self.callback_url] if self.callback_url else []
        kept = {"retention_hours": self.retention_hours, "metadata": dict(self.metadata)}
        told += [{name: value for name, value in kept.items() if value}] if any(kept.values()) else []
        return [*said, [item.canonical() for item in self.items], *told]


@dataclass(frozen=True, slots=True)
class FileOrder:
    """What is said of a file of jobs before its first line: also its digest, and how many lines it has."""

    lane: Lane = Lane.BATCH
    asked_model: str | None = None
    deadline_s: float | None = None
    priority: Priority = Priority.NORMAL
    sha256: bytes | None = None
    lines: int = 0
    keep_s: float | None = None
    callback_url: str | None = None

    def canonical(self) -> list[Any]:
        said = [self.lane, self.asked_model, self.deadline_s, self.priority]
        kept = [] if self.keep_s is None else [self.keep_s]  # a request of an earlier client stays the same
        told = [self.callback_url] if self.callback_url else []
        return [*said, self.sha256.hex() if self.sha256 else None, *kept, *told]


def sender(request: Request) -> Sender:
    """Who sends this request. Raises UsageError for an unusable Idempotency-Key."""
    tenant = principal(request).tenant
    return Sender(tenant=tenant, key=idempotency_key(request.headers), tab=open_tab(request, tenant))


def payer(who: Sender) -> Account:
    """Whose limits hold for what a sender leaves here."""
    return who.tab.account if who.tab else Account(who.tenant)


def idempotency_key(headers: Headers) -> str | None:
    """The key that came with a request. Raises UsageError for an unusable one, also where none is looked at."""
    key = headers.get("idempotency-key")
    if key is not None and not IDEMPOTENCY_KEY.match(key):
        message = "Idempotency-Key: must be 1 to 255 printable ASCII characters without spaces."
        raise UsageError(message, param="Idempotency-Key")
    return key


def announced_digest(request: Request) -> bytes | None:
    """The SHA-256 of the body in `Content-Digest` (RFC 9530), or None without that header. Raises UsageError."""
    said = request.headers.get("content-digest")
    if said is None:
        return None
    found = SHA_256.search(said)
    try:
        digest = base64.b64decode(found[1], validate=True) if found else b""
    except binascii.Error:
        digest = b""
    if len(digest) != hashlib.sha256().digest_size:
        message = "Content-Digest: must be `sha-256=:<base64 of 32 bytes>:`."
        raise UsageError(message, param="Content-Digest")
    return digest


def fingerprint(kind: str, canonical: object) -> str:
    """The same for the same request, however its body was written."""
    text = json.dumps([kind, canonical], sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def single(body: JobBody, model: str, tenant: str, job_id: str, default_timeout_s: float) -> Job:
    """The job of `POST /v1/jobs`."""
    job = engine_job(body, model, job_id=job_id, tenant=tenant, lane=body.lane, default_timeout_s=default_timeout_s)
    said = {"deadline_s": body.deadline_s, "keep_s": body.keep_s, "callback_url": body.callback_url or ""}
    return job.model_copy(update=said)


def engine_job(
    body: WorkBody, model: str, *, job_id: str, tenant: str, lane: Lane, default_timeout_s: float, batch: str = ""
) -> Job:
    """The job that a checked body asks for."""
    work = body.to_wire()
    return Job(
        id=job_id,
        tenant=tenant,
        lane=lane,
        task=TaskName.RUN,
        model=model,
        input=work,
        custom_id=body.custom_id,
        metadata=body.metadata,
        batch=batch,
        prompt_tokens=-(-characters(work) // 4),  # a rough price for the scheduler, where nobody can count exactly
        max_output_tokens=0 if isinstance(work, EmbeddingInput) else body.max_output_tokens,
        timeout_s=body.timeout_s or default_timeout_s,
    )


def characters(work: ChatInput | CompletionInput | EmbeddingInput) -> int:
    """How long the prompt is, with the tools that stand in it and what was called of them."""
    if isinstance(work, ChatInput):
        called = [message.tool_calls for message in work.messages if message.tool_calls]
        tools = len(json.dumps([work.tools, called])) if work.tools or called else 0
        return sum(len(message.content) for message in work.messages) + tools
    return len(work.prompt) if isinstance(work, CompletionInput) else sum(map(len, work.texts))


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
        digest=item.digest,
        metadata=item.metadata,
        batch=batch_id,
        settle=Settle.ON_FAILURE,
        timeout_s=timeout_s,
    )
