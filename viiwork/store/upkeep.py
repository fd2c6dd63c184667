"""Beats, and the upkeep that any worker may do for the whole fleet."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping, Sequence

from viiwork.errors import StoreUnavailable
from viiwork.jobs import Lane
from viiwork.roster import WorkerCard
from viiwork.store import files
from viiwork.store.facade import IDEMPOTENCY_MS, Store
from viiwork.store.intake import Fence
from viiwork.store.meters import Unclaimed
from viiwork.store.removal import purge, unlink_left
from viiwork.store.scripts import Arg, Call
from viiwork.wire import as_json

UPLOAD_MS = IDEMPOTENCY_MS
"""How long a batch may stay without its last item: a retry under the same Idempotency-Key may finish it until then."""
SWEPT_A_TURN = 5
UPLOADS_A_TURN = 10
GAPS_A_LEASE = 4
"""Away for less than this part of a lease, Redis makes no worker that beats look dead."""
TURN_S = 0.25
"""How long each kind of upkeep may take in one turn: a million results that end together must not keep the others, and
the dead workers, waiting."""
CLAIM_REPLY_MS = 5000
"""How long a claim's reply may be under way before its job is given back."""


class Turn:
    """One kind of upkeep in one turn."""

    def __init__(self) -> None:
        self._since = time.monotonic()
        self._until = self._since + TURN_S

    @property
    def goes_on(self) -> bool:
        return time.monotonic() < self._until

    async def stand_back(self, more: object) -> None:
        """Let others have the server for half as long as was worked since the last time, if there is `more` to do.

        Where nothing is left, as with each kind of a fleet that is idle, there is nothing to stand back from.
        """
        if more:
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
        self.at_most: int | None = None
        """How many jobs a hold lets this worker have at most, as the last beat was told; None without one."""
        self.beat_ms = 0
        """Redis' clock at the last beat."""
        self.granted = False
        """Whether the last beat, which asked for it, was given the right to do the fleet's upkeep for a moment."""
        self.backlog: dict[str, int] = {}
        """How many jobs waited before each of this worker's queues then."""

    async def beat(
        self,
        card: WorkerCard,
        *,
        queues: Sequence[str],
        in_flight: Mapping[Lane, int],
        held: Sequence[Fence],
        keep_ms: int = 0,
        unclaimed: Unclaimed | None = None,
    ) -> dict[str, str]:
        """Say that this incarnation lives and what it holds; answers the jobs that it has lost, and their states.

        `unclaimed` is what its cards have used that no job is charged with. With `keep_ms` it also asks for the right
        to do the fleet's upkeep, for so long: see `granted`. What was answered to the beat holds whatever becomes of
        that. Raises StoreUnavailable.
        """
        hands = [part for fence in held for part in (fence.job, fence.token)]
        head: tuple[Arg, ...] = (
            card.incarnation,
            card.name,
            as_json(card),
            json.dumps(in_flight),
            card.slots,
            card.slots if card.limit is None else card.limit,
            CLAIM_REPLY_MS,
            "" if unclaimed is None else unclaimed.told,
            len(queues),
            *queues,
        )
        asks = [_lock_call(card.incarnation, keep_ms)] if keep_ms else []
        answer, *right = await self._store.call_many([Call("beat", (*head, *hands)), *asks])
        if isinstance(answer, StoreUnavailable):
            raise answer
        self.granted = right == [1]
        self.quarantined, self.beat_ms, at_most, *told = answer
        self.at_most = at_most if at_most >= 0 else None
        depths, lost = told[: len(queues)], told[len(queues) :]
        self.backlog = dict(zip(queues, depths, strict=True))
        return dict(zip(lost[::2], lost[1::2], strict=True))

    async def closing(self) -> bool:
        """Whether the fleet was closed on its head."""
        return await self._store.closing()

    async def server_ms(self) -> int:
        """Redis' clock."""
        (time,) = await self._store.read([("TIME",)])
        return int(time[0]) * 1000 + int(time[1]) // 1000

    async def unbroken_ms(self) -> int:
        """For how long some worker or other has done the fleet's upkeep without a gap or a jump of Redis' clock."""
        return int(await self._store.call("contact", self._ttl_ms // GAPS_A_LEASE))

    async def take_lock(self, *, owner: str, for_ms: int) -> bool:
        """The right to do the fleet's upkeep for a moment."""
        call = _lock_call(owner, for_ms)
        return bool(await self._store.call(call.script, *call.args))

    async def reap(self, *incarnations: str, crashed: bool = True, at_ms: int = 0) -> int:
        """Take back the jobs of incarnations silent for a whole lease at `at_ms` (0: now), or of those named."""
        return await self._store.reap(*incarnations, ttl_ms=self._ttl_ms, crashed=crashed, at_ms=at_ms)

    async def mend(self) -> int:
        """Publish the hints that vanished, bring back what had to pause, and fill the ready queues."""
        (queues,) = await self._store.read([("SMEMBERS", f"{self._store.prefix}queues")])
        mended = 0
        turn, more = Turn(), True
        while more and turn.goes_on:
            some, more = await self._store.call("mend", self._store.envelope, self._grace_ms, *queues)
            mended += int(some)
            await turn.stand_back(more)
        await self._store.release(*queues, for_s=TURN_S)
        return mended

    async def sweep(self) -> None:
        """End what is past its deadline, give up uploads that nobody finished, go on with cancelled batches, purge.

        Each for a while; the next turn goes on.
        """
        await self._expire()
        stale, cancelling = await self._left_lying()
        for batch_id in stale:
            await self._store.call("batch", "cancel", batch_id)
        for batch_id in (both := {*stale, *cancelling}):
            await self._store.sweep_cancelled(batch_id, for_s=2 * TURN_S / len(both))
        await self._purge()

    async def _left_lying(self) -> tuple[list[str], list[str]]:
        """Uploads that nobody finished, the oldest; and some of the cancelled batches, whichever: a million jobs of one
        must not make the next one wait.
        """
        prefix = self._store.prefix
        before_ms = (self.beat_ms or await self.server_ms()) - UPLOAD_MS  # of a day a beat's age is nothing
        begun = ("ZRANGEBYSCORE", f"{prefix}uploading", "-inf", str(before_ms), "LIMIT", "0", str(UPLOADS_A_TURN))
        stale, cancelling = await self._store.read([begun, ("SRANDMEMBER", f"{prefix}cancelling", str(SWEPT_A_TURN))])
        return stale, cancelling

    async def _expire(self) -> None:
        turn, more = Turn(), True
        while more and turn.goes_on:
            more, *batches = await self._store.call("expire")
            for batch_id in batches:
                await self._store.call("batch", "expire", batch_id)
                await self._store.stop_running(batch_id)
            await turn.stand_back(more)

    async def _purge(self) -> None:
        turn, more = Turn(), True
        await unlink_left(self._store)
        while more and turn.goes_on:
            more = await purge(self._store)
            await turn.stand_back(more)
        turn, more = Turn(), True
        while more and turn.goes_on:
            more = await files.expire(self._store)
            await turn.stand_back(more)


def _lock_call(owner: str, for_ms: int) -> Call:
    return Call("lock", (owner, for_ms))
