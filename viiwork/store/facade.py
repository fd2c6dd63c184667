"""The store as producers see it. Every change of a job's state is one Lua script."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from redis.exceptions import RedisError

from viiwork.errors import Conflict, StoreUnavailable
from viiwork.jobs import Lane, Priority
from viiwork.roster import WorkerCard
from viiwork.store.connection import unavailable
from viiwork.store.intake import Fence, Intake
from viiwork.wire import as_json

IDEMPOTENCY_MS = 24 * 3600 * 1000
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


class Store(Intake):
    """Jobs and batches in one Redis, under one key prefix."""

    @property
    def results_ms(self) -> int:
        """How long results are kept where nobody says; 0 is for ever."""
        return self._ttl_ms

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
        keep_s: float | None = None,
        callback_url: str | None = None,
        retain_s: float | None = None,
        metadata: Mapping[str, str] | None = None,
        task_hash: str = "",
    ) -> None:
        """Make a batch that items can be submitted to. Idempotent by id.

        `keep_s` is for results that are to be kept for less time than the fleet keeps them, `retain_s` for that time
        itself, whatever the fleet does; `callback_url` is told of
        its end.
        """
        fields = ("tenant", tenant, "lane", lane.value, "model", model, "task", task)
        told = ("callback_url", callback_url) if callback_url else ()
        labels = ("metadata", json.dumps(dict(metadata), separators=(",", ":"))) if metadata else ()
        named = ("task_hash", task_hash) if task_hash else ()
        ttl_ms = self._kept_ms(keep_s) if retain_s is None else max(1, int(retain_s * 1000))
        weight = () if priority is Priority.NORMAL else ("priority", priority.value, "weight", priority.weight)
        deadline_ms = int((deadline_s or 0) * 1000)
        opened = await self.call(
            "open", id, deadline_ms, *fields, "total", total, "ttl_ms", ttl_ms, *weight, *told, *labels, *named
        )
        if opened == "gone":
            await self.batch(id)  # raises Gone with the date

    async def pin_card(self, fence: Fence, card: WorkerCard) -> WorkerCard:
        """The card that the job's first attempt went by, which is this one for the first."""
        pinned = await self.call("pin", fence.job, fence.attempt, fence.token, as_json(card))
        return WorkerCard.model_validate_json(pinned)

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

    async def set_closing(self, closing: bool) -> None:
        """Refuse new work (or take it again)."""
        await self.call("closing", int(closing))
