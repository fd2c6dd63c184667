"""The store as producers see it. Every change of a job's state is one Lua script."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from redis.asyncio import Redis
from redis.exceptions import RedisError

from viiwork.errors import Busy, Conflict, NotFound, StoreUnavailable
from viiwork.jobs import BatchStatus, Job, Lane, Priority, State, Status
from viiwork.store.blobs import BlobStore
from viiwork.store.connection import unavailable
from viiwork.store.reading import Reading
from viiwork.store.records import INLINE_BYTES, job_fields
from viiwork.store.scripts import Arg, Call
from viiwork.wire import as_json

SLICE = 100
"""Jobs a script call: none may hold the server up (a slice takes about 3 ms; one of 500 took 20)."""
SLICE_BYTES = 512 * 1024
SLICES_A_TRIP = 8
"""Script calls a round trip: others' calls go in between."""
SWEEP_S = 0.5
"""How long a caller helps to sweep what it cancelled; the fleet's upkeep does the rest."""
IDEMPOTENCY_MS = 24 * 3600 * 1000
READ_AHEAD = 1000
"""Documents are not read while their lane of the model has this many jobs waiting."""


TOO_MANY = -3
CONFIRM_MS = 3000
UNSYNCED = "up to 1 s of acknowledged work may be lost in a power cut"


@dataclass(frozen=True, slots=True)
class Durability:
    """Whether acknowledged work is on disk; if not, `notice` says what a power cut may cost."""

    synced: bool
    notice: str = ""


@dataclass(frozen=True, slots=True)
class Pressure:
    """How much of its memory Redis uses."""

    used_bytes: int
    limit_bytes: int
    """0 where there is no limit."""

    @property
    def fraction(self) -> float:
        return self.used_bytes / self.limit_bytes if self.limit_bytes else 0.0


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

    async def open_batch(
        self,
        *,
        id: str,  # noqa: A002 - the wire's own term
        tenant: str,
        lane: Lane,
        model: str,
        task: str,
        total: int,
        deadline_s: float | None = None,
        priority: Priority = Priority.NORMAL,
    ) -> None:
        """Make a batch that items can be submitted to. Idempotent by id."""
        fields = ("tenant", tenant, "lane", lane.value, "model", model, "task", task)
        weight = () if priority is Priority.NORMAL else ("priority", priority.value, "weight", priority.weight)
        deadline_ms = int((deadline_s or 0) * 1000)
        await self.call("open", id, deadline_ms, *fields, "total", total, "ttl_ms", self._ttl_ms, *weight)

    async def submit(self, jobs: Sequence[Job], *, fence: Fence | None = None, max_backlog: int | None = None) -> int:
        """Take jobs in and release what there is room for; jobs that are there already are left alone.

        Answers the number of new ones. Raises Conflict when the parent's fence is down or the batch takes no more, and
        Busy when a tenant would have more than `max_backlog` unfinished jobs: what came before in the same call stays.
        """
        proof: tuple[Arg, ...] = (fence.job, fence.attempt, fence.token) if fence else ("", 0, "")
        queues = tuple({job.queue for job in jobs})
        slices = list(_slices([await self._flat(job) for job in jobs]))
        taken = 0
        for start in range(0, len(slices), SLICES_A_TRIP):
            some = slices[start : start + SLICES_A_TRIP]
            taken += await self._submit(
                [Call("submit", (*proof, max_backlog or 0, *(f for entry in part for f in entry))) for part in some],
                queues,
            )
        return taken

    async def _submit(self, calls: Sequence[Call], queues: Sequence[str]) -> int:
        release = Call("release", (self.envelope, READ_AHEAD, *queues))
        *answers, _ = await self.call_many([*calls, release])
        for answer in answers:
            if isinstance(answer, Exception):
                raise answer
            if answer == TOO_MANY:
                raise Busy(
                    "Too many of your jobs are unfinished already.",
                    hint="Wait until some have ended, or raise queue.max_backlog.",
                )
            if answer < 0:
                raise Conflict("The job that asked for these is no longer running, or its batch was cancelled.")
        return sum(int(answer) for answer in answers)

    async def confirm(self) -> Durability:
        """Wait until what was submitted before is on the server's disk, where the server can tell (`WAITAOF`).

        A write of our own goes first on the same connection, since the server waits for that connection's writes alone;
        the append-only file keeps the order, so all earlier writes are on disk with it.
        """
        commands = [("SET", f"{self.prefix}synced", "1"), ("WAITAOF", "1", "0", str(CONFIRM_MS))]
        try:
            _, synced = await self.read(commands)
        except StoreUnavailable:  # an older server has no such command, and one without AOF refuses it
            await self.ping()
            return Durability(synced=False, notice=UNSYNCED)
        return Durability(synced=True) if int(synced[0]) else Durability(synced=False, notice=UNSYNCED)

    async def pressure(self) -> Pressure:
        """How much of its memory Redis uses."""
        try:
            info = await self.client.info("memory")
        except (RedisError, OSError) as error:
            raise unavailable(error) from error
        return Pressure(used_bytes=int(info["used_memory"]), limit_bytes=int(info.get("maxmemory", 0)))

    async def seal(self, batch_id: str) -> None:
        """Say that all items of a batch are submitted."""
        await self.call("batch", "seal", batch_id)

    async def release(self, *queues: str) -> int:
        """Fill the ready queues from their backlogs; answers how many jobs were released."""
        return int(await self.call("release", self.envelope, READ_AHEAD, *queues)) if queues else 0

    async def _flat(self, job: Job) -> list[str]:
        # What is left out as a default must not be the kind of input. No input is all defaults, so a field follows.
        body, blob = f'{{"kind":"{job.input.kind}",{as_json(job.input)[1:]}', ""
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
        """Cancel what is left of a batch. Raises NotFound or Gone.

        The flag acts at once and what runs is stopped; what waits is swept here for a moment, then by the upkeep.
        """
        await self.batch(batch_id)
        await self.call("batch", "cancel", batch_id)
        await self.stop_running(batch_id)
        await self.sweep_cancelled(batch_id, for_s=SWEEP_S)
        return await self.batch(batch_id)

    async def stop_running(self, batch_id: str) -> None:
        """Take what runs of a cancelled or expired batch away from its workers."""
        while await self.call("batch", "stop", batch_id) == 1:
            pass

    async def sweep_cancelled(self, batch_id: str, *, for_s: float = math.inf) -> bool:
        """End the jobs of a cancelled batch, slice by slice, for so long at most; true when none is left.

        After each slice it stands back for as long as that took: others need the server too.
        """
        clock = asyncio.get_running_loop()
        until = clock.time() + for_s
        while clock.time() < until:
            begin = clock.time()
            if await self.call("batch", "slice", batch_id) != 1:
                return True
            await asyncio.sleep(clock.time() - begin)
        return False

    async def pause(self, batch_id: str) -> BatchStatus:
        """Start nothing more of a batch; what runs goes on. Raises NotFound, Gone, or Conflict when it has ended."""
        return await self._steer("pause", batch_id)

    async def resume(self, batch_id: str) -> BatchStatus:
        """Let a paused batch go on. Raises NotFound, Gone, or Conflict when it has ended."""
        return await self._steer("resume", batch_id)

    async def set_priority(self, batch_id: str, priority: Priority) -> BatchStatus:
        """Change how a batch stands among those of its tenant. Raises NotFound, Gone, or Conflict when it has ended."""
        return await self._steer("weigh", batch_id, priority.weight, priority.value)

    async def _steer(self, verb: str, batch_id: str, *args: Arg) -> BatchStatus:
        status = await self.batch(batch_id)
        state = await self.call("steer", verb, batch_id, *args)
        if state not in ("running", "uploading"):
            raise Conflict(f"This analysis has ended: it is {status.state.value}.")
        await self.release(*await self._queues())
        return await self.batch(batch_id)

    async def retry(self, job_id: str) -> Status:
        """Start a dead job again with a clean slate; for a dead part of a document, the whole document.

        Answers the job that starts. Raises NotFound, Gone, or Conflict when it is not dead or its batch is over.
        """
        state, *started = await self.call("retry", job_id)
        if state == "gone":
            await self._raise_missing(job_id)
        if state == "over":
            raise Conflict("Its analysis was cancelled or has expired.")
        if not started:
            raise Conflict(f"This job is not dead: it is {state}.")
        await self.release(*started[1:])
        return await self.job(started[0])

    async def purge_dead(self, job_id: str) -> None:
        """Take a job out of the dead letters; its record stays until its time is over. Raises NotFound or Gone."""
        (removed,) = await self.read([("ZREM", f"{self.prefix}dead", job_id)])
        if not removed:
            await self.job(job_id)
            raise NotFound("This job is not among the dead letters.")

    async def set_closing(self, closing: bool) -> None:
        """Refuse new work (or take it again)."""
        await self.call("closing", int(closing))

    async def lift_quarantine(self, *workers: str) -> None:
        """Let workers take jobs again; all of them when none is named."""
        key = f"{self.prefix}quarantine"
        names = workers or (await self.read([("HKEYS", key)]))[0]
        if names:
            await self.read([("HDEL", key, *names), ("HDEL", f"{self.prefix}against", *names)])

    async def reap_host(self, *, host: str, pid: int, crashed: bool = True) -> int:
        """Take back the jobs of a worker process that was seen to exit; answers how many.

        `crashed` says that nobody asked it to: then the suspect rule holds for what it held.
        """
        status = await self.fleet()
        dead = [w.card.incarnation for w in status.workers if w.card.host == host and w.card.pid == pid]
        if not dead:
            return 0
        taken = await self.reap(*dead, ttl_ms=0, crashed=crashed)
        await self.release(*await self._queues())
        return taken

    async def reap(self, *incarnations: str, ttl_ms: int, crashed: bool = True) -> int:
        """Take back the jobs of these dead workers, or of those silent for `ttl_ms`; answers how many."""
        taken = 0
        how = "crashed" if crashed else "given_back"
        while some := sum(await self.call("reap", ttl_ms, how, *incarnations)):
            taken += some
        return taken

    async def _queues(self) -> list[str]:
        (queues,) = await self.read([("SMEMBERS", f"{self.prefix}queues")])
        return list(queues)


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
