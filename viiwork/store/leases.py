"""The store as workers see it: claims, commits, beats, and the upkeep that any worker may do."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from pydantic import TypeAdapter

from viiwork.jobs import Fault, Lane, TaskName
from viiwork.roster import WorkerCard
from viiwork.store.facade import IDEMPOTENCY_MS, Fence, Store
from viiwork.store.records import INLINE_BYTES, result_json
from viiwork.store.scripts import Arg, Call
from viiwork.wire import SCHEMA, as_json
from viiwork.work import Answer, JobInput

INPUT: TypeAdapter[JobInput] = TypeAdapter(JobInput)
UPLOAD_MS = IDEMPOTENCY_MS
"""How long a batch may stay without its last item: a retry under the same Idempotency-Key may finish it until then."""
TOMBSTONE_MS = 365 * 86_400_000
"""How long a purged batch answers 410 with its date rather than 404; a single job does for as long as it was kept."""
SWEPT_A_TURN = 5
GAPS_A_LEASE = 4
"""Away for less than this part of a lease, Redis makes no worker that beats look dead."""
TURN_S = 0.25
"""How long each kind of upkeep may take in one turn: a million results that end together must not keep the others, and
the dead workers, waiting."""
MOST_TOKENS = 1_000_000_000
"""Of all requests of one document. What claims more would stop the fleet's counts: Redis' end at 2^63."""
CLAIM_REPLY_MS = 5000
"""How long a claim's reply may be under way before its job is given back."""


class Verdict(StrEnum):
    """What a worker says of an attempt."""

    SUCCEEDED = "succeeded"
    CONTINUES = "continues"
    FAILED = "failed"
    EXPIRED = "expired"
    RETRY = "retry"
    CRASHED = "crashed"
    GIVE_BACK = "give_back"


@dataclass(frozen=True, slots=True)
class Claim:
    """A job in a worker's hands."""

    fence: Fence
    seconds_left: float
    ends_by: Literal["timeout", "deadline"]
    """What `seconds_left` counts down to."""
    task: TaskName
    lane: Lane
    model: str
    tenant: str
    batch: str
    item: str
    input_json: str
    input_blob: str
    strikes: int = 0
    suspect: bool = False
    generation: str = ""
    """Set when the whole document was started again: the names of its parts must be new ones."""

    async def input(self, store: Store) -> JobInput:
        """The job's input, from its record or the blob store. Raises NotFound when the blob is missing."""
        raw = (await store.blobs.read(self.input_blob)) if self.input_blob else self.input_json
        return INPUT.validate_json(raw)


@dataclass(frozen=True, slots=True)
class Stale:
    """A hint whose job was not to be had: cancelled, done, or claimed by another."""

    state: str


def claim_call(*, job: str, attempt: int, token: str, card: WorkerCard) -> Call:
    """The call that claims a job; safe to repeat with the same token."""
    return Call("claim", (job, attempt, token, card.incarnation, card.name, SCHEMA))


def read_claim(reply: Sequence[str | int], *, job: str, token: str) -> Claim | Stale:
    """What `claim` answered."""
    if reply[0] != "run":
        return Stale(str(reply[1]))
    attempt, left, ends_by, task, queue, tenant, batch, item, body, blob, strikes, suspect, generation = reply[1:]
    lane, _, model = str(queue).partition(".")
    return Claim(
        fence=Fence(job, int(attempt), token),
        seconds_left=int(left) / 1000,
        ends_by="deadline" if ends_by == "deadline" else "timeout",
        task=TaskName(str(task)),
        lane=Lane(lane),
        model=model,
        tenant=str(tenant),
        batch=str(batch),
        item=str(item),
        input_json=str(body),
        input_blob=str(blob),
        strikes=int(strikes),
        suspect=bool(int(suspect)),
        generation=str(generation),
    )


async def commit_call(
    store: Store,
    fence: Fence,
    verdict: Verdict,
    result: Answer | Fault | None,
    *,
    max_attempts: int,
    delay_s: float = 0.0,
) -> Call:
    """The call that ends an attempt; a large result goes to the blob store first.

    `delay_s` is the pause before a RETRY goes back to the backlog.
    """
    body = result_json(result) if result else ""
    blob = ""
    if len(body) > INLINE_BYTES:
        blob, body = (await store.blobs.put(body.encode())).id, ""
    usage = result.usage if isinstance(result, Answer) else None
    counts = (usage.prompt_tokens, usage.output_tokens) if usage else (0, 0)
    tokens = (min(max(0, count), MOST_TOKENS) for count in counts)
    ending = (verdict.value, body, blob, *tokens, max_attempts, int(delay_s * 1000))
    return Call("commit", (fence.job, fence.attempt, fence.token, *ending))


class Turn:
    """One kind of upkeep in one turn."""

    def __init__(self) -> None:
        self._since = time.monotonic()
        self._until = self._since + TURN_S

    @property
    def goes_on(self) -> bool:
        return time.monotonic() < self._until

    async def stand_back(self) -> None:
        """Let others have the server for half as long as was worked since the last time."""
        await asyncio.sleep((time.monotonic() - self._since) / 2)
        self._since = time.monotonic()


class Upkeep:
    """Beats of one incarnation, and the upkeep that whoever holds the short lock does for the whole fleet."""

    def __init__(self, store: Store, *, lease_ttl_s: float, hint_grace_s: float) -> None:
        self._store = store
        self._ttl_ms = int(lease_ttl_s * 1000)
        self._grace_ms = int(hint_grace_s * 1000)
        self.quarantined = ""
        """Why this worker may take no jobs, as the last beat was told; empty while it may."""

    async def beat(
        self, card: WorkerCard, *, queues: Sequence[str], in_flight: Mapping[Lane, int], held: Sequence[Fence]
    ) -> dict[str, str]:
        """Say that this incarnation lives and what it holds; answers the jobs that it has lost, and their states."""
        hands = [part for fence in held for part in (fence.job, fence.token)]
        head: tuple[Arg, ...] = (
            card.incarnation,
            card.name,
            as_json(card),
            json.dumps(in_flight),
            card.slots,
            card.slots if card.limit is None else card.limit,
            CLAIM_REPLY_MS,
            len(queues),
            *queues,
        )
        self.quarantined, *lost = await self._store.call("beat", *head, *hands)
        return dict(zip(lost[::2], lost[1::2], strict=True))

    async def server_ms(self) -> int:
        """Redis' clock."""
        (time,) = await self._store.read([("TIME",)])
        return int(time[0]) * 1000 + int(time[1]) // 1000

    async def unbroken_ms(self) -> int:
        """For how long some worker or other has done the fleet's upkeep without a gap or a jump of Redis' clock."""
        return int(await self._store.call("contact", self._ttl_ms // GAPS_A_LEASE))

    async def take_lock(self, *, owner: str, for_ms: int) -> bool:
        """The right to do the fleet's upkeep for a moment."""
        return bool(await self._store.call("lock", owner, for_ms))

    async def reap(self, *incarnations: str, crashed: bool = True) -> int:
        """Take back the jobs of incarnations that are silent for a whole lease, or of those named."""
        return await self._store.reap(*incarnations, ttl_ms=self._ttl_ms, crashed=crashed)

    async def mend(self) -> int:
        """Publish the hints that vanished, bring back what had to pause, and fill the ready queues."""
        (queues,) = await self._store.read([("SMEMBERS", f"{self._store.prefix}queues")])
        mended = 0
        turn, more = Turn(), True
        while more and turn.goes_on:
            some, more = await self._store.call("mend", self._store.envelope, self._grace_ms, *queues)
            mended += int(some)
            await turn.stand_back()
        await self._store.release(*queues, for_s=TURN_S)
        return mended

    async def sweep(self) -> None:
        """End what is past its deadline, give up uploads that nobody finished, go on with cancelled batches, purge.

        Each for a while; the next turn goes on.
        """
        await self._expire()
        await self._give_up_uploads()
        await self._sweep_cancelled()
        await self._purge()

    async def _expire(self) -> None:
        turn, more = Turn(), True
        while more and turn.goes_on:
            more, *batches = await self._store.call("expire")
            for batch_id in batches:
                await self._store.call("batch", "expire", batch_id)
                await self._store.stop_running(batch_id)
            await turn.stand_back()

    async def _sweep_cancelled(self) -> None:
        """Some of the cancelled batches, whichever: a million jobs of one must not make the next one wait."""
        cancelling = f"{self._store.prefix}cancelling"
        (some,) = await self._store.read([("SRANDMEMBER", cancelling, str(SWEPT_A_TURN))])
        for batch_id in some:
            await self._store.sweep_cancelled(batch_id, for_s=2 * TURN_S / len(some))

    async def _purge(self) -> None:
        turn, more = Turn(), True
        while more and turn.goes_on:
            more, *blobs = await self._store.call("purge", TOMBSTONE_MS)
            for blob in blobs:
                await self._store.blobs.delete(blob)
            await turn.stand_back()

    async def _give_up_uploads(self) -> None:
        before = await self.server_ms() - UPLOAD_MS
        key = f"{self._store.prefix}uploading"
        (stale,) = await self._store.read([("ZRANGEBYSCORE", key, "-inf", str(before), "LIMIT", "0", "10")])
        for batch_id in stale:
            await self._store.call("batch", "cancel", batch_id)
