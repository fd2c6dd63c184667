"""How jobs get into the store: made flat, their large inputs files, and submitted by slices."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from redis.asyncio import Redis

from viiwork.jobs import Job
from viiwork.schema import schema_of
from viiwork.store.accounts import Meter, Said, Tab, refusal
from viiwork.store.blobs import Blobs
from viiwork.store.records import INLINE_BYTES, job_fields
from viiwork.store.scripts import Arg, Call
from viiwork.store.sharing import blobs_of, shared
from viiwork.store.steering import READ_AHEAD, Steering
from viiwork.wire import as_json
from viiwork.work import JobInput

SLICE = 25
"""Jobs a script call: none may hold the server up (a slice takes 1 to 2 ms; one of 500 took 20, and while the server
rewrites its file each takes several times as long)."""
SLICE_BYTES = 512 * 1024
BLOBS_AT_ONCE = 32
"""Large inputs are written and synced side by side: one after the other took 9 ms each (measured)."""
SLICES_A_TRIP = 16
"""Script calls a round trip: others' calls go in between."""


@dataclass(frozen=True, slots=True)
class Fence:
    """Proof that a worker still holds a job: its attempt and the random token of its claim."""

    job: str
    attempt: int
    token: str


class Intake(Steering):
    """Takes jobs in: their script makes the records, and says what their accounts have no room for."""

    def __init__(
        self,
        client: Redis,
        *,
        fleet: str,
        prefix: str,
        envelope: str,
        blobs: Blobs,
        ttl_ms: int,
        headers: bool = True,
    ) -> None:
        super().__init__(client, fleet=fleet, prefix=prefix, envelope=envelope, blobs=blobs, headers=headers)
        self._ttl_ms = ttl_ms

    async def submit(
        self,
        jobs: Sequence[Job],
        *,
        fence: Fence | None = None,
        max_backlog: int | None = None,
        like: JobInput | None = None,
        tab: Tab | None = None,
    ) -> int:
        """Take jobs in and release what there is room for; jobs that are there already are left alone.

        Answers the number of new ones. Raises Conflict when the parent's fence is down or the batch takes no more, and
        Busy when a tenant would have more than `max_backlog` unfinished jobs: what came before in the same call stays.
        `like` is the input of the fence's job: what they have in common with it is not stored again.

        They go on `tab`, which must be their tenant's, and are of one lane then. Raises RateLimited or QuotaExceeded
        where its limits end: the jobs before that stay, and nothing is charged for the others.
        """
        proof: tuple[Arg, ...] = (fence.job, fence.attempt, fence.token) if fence else ("", 0, "")
        queues = tuple({job.queue for job in jobs})
        jobs, meter = tab.charged(jobs) if tab else (jobs, None)
        entries, blob = await self.flat(jobs, like=like)
        slices = list(_slices(entries))
        taken = 0
        for start in range(0, len(slices), SLICES_A_TRIP):
            some = slices[start : start + SLICES_A_TRIP]
            answers = await self._offer((*proof, max_backlog or 0), some, queues, meter)
            why = next(filter(None, map(refusal, answers)), None)
            if why is not None:
                await self._discard_unshared(blob)
                raise why
            taken += sum(answer for answer in answers if isinstance(answer, int))
        if taken < len(jobs):
            await self._discard_unshared(blob)
        return taken

    async def _offer(
        self, whose: tuple[Arg, ...], some: Sequence[list[list[str]]], queues: Sequence[str], meter: Meter | None
    ) -> list[Said]:
        """What the server says to each slice. Raises StoreUnavailable when nobody knows what it took."""
        calls = [Call("submit", (*whose, *(f for entry in part for f in entry))) for part in some]
        calls.append(Call("release", (self.envelope, READ_AHEAD, *queues)))
        replies = await self.call_many([*calls, meter.call] if meter else calls)
        if meter:
            meter.hear(replies[-1])
        answers: list[Said] = replies[: len(some)]
        for answer, part in zip(answers, some, strict=True):
            if not isinstance(answer, int) or answer < len(part):
                await self.discard_unnamed(part)
        return answers

    async def flat(self, jobs: Sequence[Job], *, like: JobInput | None = None) -> tuple[list[list[str]], str]:
        """Each job as the script takes it, and the file of what they share; large inputs are files by then."""
        common = shared([job.input for job in jobs], like=like)
        blob = (await self.blobs.put(common.content)).id if common.content else ""
        works = [common.lean(job.input, blob) for job in jobs]
        bodies = [_body(work) for work in works]
        large = [at for at, body in enumerate(bodies) if len(body) > INLINE_BYTES]
        blobs = dict[int, str]()
        for start in range(0, len(large), BLOBS_AT_ONCE):
            some = large[start : start + BLOBS_AT_ONCE]
            refs = await asyncio.gather(*(self.blobs.put(bodies[at].encode()) for at in some))
            blobs |= {at: ref.id for at, ref in zip(some, refs, strict=True)}
        stored = zip(jobs, works, bodies, strict=True)
        return [self._entry(job, work, body, blobs.get(at, "")) for at, (job, work, body) in enumerate(stored)], blob

    def _entry(self, job: Job, work: JobInput, body: str, blob: str) -> list[str]:
        fields = job_fields(
            job,
            input_json="" if blob else body,
            input_blob=blob,
            ttl_ms=self._kept_ms(job.keep_s),
            schema=schema_of(work),
            shared_blobs=" ".join(blobs_of(work)),
        )
        return [job.id, str(len(fields)), *fields]

    async def discard_unnamed(self, part: Sequence[list[str]]) -> None:
        """Remove the files of inputs that were not taken: text that nobody asked to keep must not lie about."""
        written = {entry[0]: entry[entry.index("input_blob", 2) + 1] for entry in part if "input_blob" in entry[2::2]}
        named = await self.read([("HGET", f"{self.prefix}job:{job}", "input_blob") for job in written])
        for blob, name in zip(written.values(), named, strict=True):
            if blob != name:
                await self.blobs.delete(blob)

    async def _discard_unshared(self, blob: str) -> None:
        """Remove the file of what jobs would share, if none of them was taken."""
        if blob:
            (named,) = await self.read([("HEXISTS", f"{self.prefix}shared", blob)])
            if not named:
                await self.blobs.delete(blob)

    def _kept_ms(self, keep_s: float | None) -> int:
        """How long results are kept; 0 is for ever."""
        asked_ms = None if keep_s is None else max(1, int(keep_s * 1000))
        return self._ttl_ms if asked_ms is None else min(asked_ms, self._ttl_ms or asked_ms)


def _body(work: JobInput) -> str:
    # What is left out as a default must not be the kind of input. No input is all defaults, so a field follows.
    return f'{{"kind":"{work.kind}",{as_json(work)[1:]}'


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
