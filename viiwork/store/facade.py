"""The store as producers see it. Every change of a job's state is one Lua script."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from redis.asyncio import Redis

from viiwork.errors import Conflict
from viiwork.jobs import BatchStatus, Job, Lane, State
from viiwork.store.blobs import BlobStore
from viiwork.store.reading import Reading
from viiwork.store.records import INLINE_BYTES, job_fields
from viiwork.store.scripts import Arg
from viiwork.wire import as_json

SLICE = 500
"""Jobs a script call: none may hold the server up."""
SLICE_BYTES = 1024 * 1024
IDEMPOTENCY_MS = 24 * 3600 * 1000
READ_AHEAD = 1000
"""Documents are not read while their lane of the model has this many jobs waiting."""


@dataclass(frozen=True, slots=True)
class Fence:
    """Proof that a worker still holds a job: its attempt and the random token of its claim."""

    job: str
    attempt: int
    token: str


class Store(Reading):
    """Jobs and batches in one Redis, under one key prefix."""

    def __init__(
        self,
        client: Redis,
        *,
        fleet: str,
        prefix: str,
        envelope: str,
        blobs: BlobStore,
        ttl_ms: int,
        headers: bool = True,
    ) -> None:
        super().__init__(client, fleet=fleet, prefix=prefix, blobs=blobs, headers=headers)
        self.envelope = envelope
        self._ttl_ms = ttl_ms

    async def admit(self, *, tenant: str, key: str, fingerprint: str, id: str) -> str:  # noqa: A002 - the wire's own term
        """The id that this Idempotency-Key stands for (24 h): `id` itself when the key is new.

        Raises Conflict when the key came before with another body.
        """
        known = await self.call("admit", f"{tenant}\n{key}", fingerprint, id, IDEMPOTENCY_MS)
        if known is None:
            raise Conflict(
                "This Idempotency-Key was used for another request.", hint="Use a new key for a new request."
            )
        return str(known)

    async def open_batch(self, *, id: str, tenant: str, lane: Lane, model: str, task: str, total: int) -> None:  # noqa: A002
        """Make a batch that items can be submitted to. Idempotent by id."""
        fields = ("tenant", tenant, "lane", lane.value, "model", model, "task", task)
        await self.call("open", id, *fields, "total", total, "ttl_ms", self._ttl_ms)

    async def submit(self, jobs: Sequence[Job], *, fence: Fence | None = None) -> int:
        """Take jobs in and release what there is room for; jobs that are there already are left alone.

        Answers the number of new ones. Raises Conflict when the parent's fence is down or the batch takes no more.
        """
        proof: tuple[Arg, ...] = (fence.job, fence.attempt, fence.token) if fence else ("", 0, "")
        taken = 0
        for part in _slices([await self._flat(job) for job in jobs]):
            answer = int(await self.call("submit", *proof, *(field for entry in part for field in entry)))
            if answer < 0:
                raise Conflict("The job that asked for these is no longer running, or its batch was cancelled.")
            taken += answer
        await self.release(*{job.queue for job in jobs})
        return taken

    async def seal(self, batch_id: str) -> None:
        """Say that all items of a batch are submitted."""
        await self.call("batch", "seal", batch_id)

    async def release(self, *queues: str) -> int:
        """Fill the ready queues from their backlogs; answers how many jobs were released."""
        return int(await self.call("release", self.envelope, READ_AHEAD, *queues)) if queues else 0

    async def _flat(self, job: Job) -> list[str]:
        body, blob = as_json(job.input), ""
        # A document's text repeats nothing, so the kind of input must survive `exclude_defaults`.
        body = json.dumps({"kind": job.input.kind, **json.loads(body)}, ensure_ascii=False, separators=(",", ":"))
        if len(body) > INLINE_BYTES:
            blob, body = (await self.blobs.put(body.encode())).id, ""
        fields = job_fields(job, input_json=body, input_blob=blob, ttl_ms=self._ttl_ms)
        return [job.id, str(len(fields)), *fields]

    async def cancel(self, job_id: str) -> State:
        """Cancel a job in any state; answers the state afterwards. Raises NotFound or Gone."""
        (state,) = await self.call("cancel", job_id)
        if state == "gone":
            await self._raise_missing(job_id)
        return State(state)

    async def cancel_batch(self, batch_id: str) -> BatchStatus:
        """Cancel what is left of a batch: the flag acts at once, the jobs follow in slices. Raises NotFound or Gone."""
        await self.batch(batch_id)
        await self.call("batch", "cancel", batch_id)
        await self.sweep_cancelled(batch_id)
        return await self.batch(batch_id)

    async def sweep_cancelled(self, batch_id: str) -> None:
        """Cancel the jobs of a cancelled batch, slice by slice."""
        while await self.call("batch", "slice", batch_id) == 1:
            pass

    async def set_closing(self, closing: bool) -> None:
        """Refuse new work (or take it again)."""
        await self.call("closing", int(closing))

    async def reap_host(self, *, host: str, pid: int, max_attempts: int) -> int:
        """Take back the jobs of a worker process that was seen to exit; answers how many."""
        status = await self.fleet()
        dead = [w.card.incarnation for w in status.workers if w.card.host == host and w.card.pid == pid]
        if not dead:
            return 0
        taken = await self.reap(*dead, ttl_ms=0, max_attempts=max_attempts)
        await self.release(*{f"{depth.lane.value}.{depth.model}" for depth in status.queues})
        return taken

    async def reap(self, *incarnations: str, ttl_ms: int, max_attempts: int) -> int:
        """Take back the jobs of these dead workers, or of those silent for `ttl_ms`; answers how many."""
        taken = 0
        while some := sum(await self.call("reap", ttl_ms, max_attempts, *incarnations)):
            taken += some
        return taken


def _slices(entries: Sequence[list[str]]) -> Iterable[list[list[str]]]:
    """At most SLICE jobs and about SLICE_BYTES a call."""
    part: list[list[str]] = []
    size = 0
    for entry in entries:
        weight = sum(map(len, entry))
        if part and (len(part) == SLICE or size + weight > SLICE_BYTES):
            yield part
            part, size = [], 0
        part.append(entry)
        size += weight
    if part:
        yield part
