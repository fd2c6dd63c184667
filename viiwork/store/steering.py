"""What is done to work that the store has: released, cancelled, paused, weighed, revived, taken back from the dead."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Mapping

from redis.asyncio import Redis

from viiwork.deliveries import EventType
from viiwork.errors import Conflict, NotFound
from viiwork.jobs import BatchStatus, Priority, State, Status
from viiwork.store.blobs import Blobs
from viiwork.store.reading import Reading
from viiwork.store.scripts import Arg, Call

READ_AHEAD = 1000
"""No more documents of a batch are read while so many of its jobs wait; fewer where many others wait too."""
SWEEP_S = 0.5
"""How long a caller helps to sweep what it cancelled; the fleet's upkeep does the rest."""


class Steering(Reading):
    """The store's questions, and what changes the course of jobs that are there already."""

    def __init__(
        self, client: Redis, *, fleet: str, prefix: str, envelope: str, blobs: Blobs, headers: bool = True
    ) -> None:
        super().__init__(client, fleet=fleet, prefix=prefix, blobs=blobs, headers=headers)
        self.envelope = envelope

    async def release(self, *queues: str, for_s: float = 0.0) -> int:
        """Fill the ready queues from their backlogs; answers how many jobs were released.

        A script looks at a slice of a queue only: what was cancelled in front of the others may take many, for so long.
        """
        released, until, left = 0, time.monotonic() + for_s, list(queues)
        while left:
            replies = await self.call_many([Call("release", (self.envelope, READ_AHEAD, queue)) for queue in left])
            for reply in replies:
                if isinstance(reply, Exception):
                    raise reply
            released += sum(count for count, _ in replies)
            left = [queue for queue, (_, more) in zip(left, replies, strict=True) if more]
            if time.monotonic() >= until:
                break
        return released

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
        """Take what runs of a cancelled or expired batch away from its workers, and let others have their slots."""
        while await self.call("batch", "stop", batch_id) == 1:
            pass
        await self.release(*await self._queues())

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
            raise Conflict(f"This analysis has ended: it is {status.state.value}.", code="ended")
        await self.release(*await self._queues())
        return await self.batch(batch_id)

    async def retry(self, job_id: str, *, once: str = "") -> Status:
        """Start a dead job again with a clean slate; for a dead part of a document, the whole document.

        The same `once` starts it once only, also where it has died again since.
        Answers the job that starts. Raises NotFound, Gone, or Conflict when it is not dead or its batch is over.
        """
        state, *started = await self.call("retry", job_id, "", once)
        if state == "gone":
            await self._raise_missing(job_id)
        if state == "over":
            raise Conflict("Its analysis was cancelled or has expired.", code="ended")
        if not started:
            raise Conflict(f"This job is not dead: it is {state}.", code="not_dead")
        await self.release(*started[1:])
        return await self.job(started[0])

    async def purge_dead(self, job_id: str) -> None:
        """Take a job out of the dead letters; its record stays until its time is over. Raises NotFound or Gone."""
        (removed,) = await self.read([("ZREM", f"{self.prefix}dead", job_id)])
        if not removed:
            await self.job(job_id)
            raise NotFound("This job is not among the dead letters.")

    async def quarantine(self, worker: str, why: str) -> None:
        """Let a worker take no jobs until that is lifted, the last one of its model too; an earlier reason stays."""
        await self.call("tell", "quarantine", worker, why, EventType.FLEET_CARD_QUARANTINED, worker, "worker", worker)

    async def lift_quarantine(self, *workers: str) -> list[str]:
        """Let workers take jobs again, all of them when none is named; answers those that were quarantined."""
        names = workers or tuple(await self.quarantined())
        if not names:
            return []
        _, *gone = await self.read(
            [
                ("HDEL", f"{self.prefix}against", *names),
                *(("HDEL", f"{self.prefix}quarantine", name) for name in names),
            ]
        )
        return [name for name, was_there in zip(names, gone, strict=True) if was_there]

    async def hold(self, owner: str, at_most: Mapping[str, int], *, why: str, for_s: float) -> None:
        """Let workers have at most so many jobs each for `for_s`, unless it is said again; what they have they finish.

        What the same owner said before is replaced. Raises Conflict while it is somebody else's.
        """
        named = (part for pair in at_most.items() for part in pair)
        taken, *why_not = await self.call("hold", owner, int(for_s * 1000), why, *named)
        if not taken:
            raise Conflict(f"Workers are held already: {why_not[0]}", hint="Try again later.", code="held")

    async def lift_hold(self, owner: str) -> None:
        """Let the workers that this owner holds take jobs as before. Raises Conflict where it is somebody else's."""
        await self.hold(owner, {}, why="", for_s=0)

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

    async def reap(self, *incarnations: str, ttl_ms: int, crashed: bool = True, at_ms: int = 0) -> int:
        """Take back the jobs of these dead workers, or of those silent for `ttl_ms` at `at_ms` (0: now); how many."""
        taken = 0
        how = "crashed" if crashed else "given_back"
        while some := sum(await self.call("reap", ttl_ms, how, at_ms, *incarnations)):
            taken += some
        return taken

    async def _queues(self) -> list[str]:
        (queues,) = await self.read([("SMEMBERS", f"{self.prefix}queues")])
        return list(queues)
