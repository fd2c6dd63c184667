"""The seam to Redis: scripts and plain reads, with Redis' errors in our words."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import OutOfMemoryError, RedisError, ResponseError

from viiwork.errors import StoreRefused, StoreUnavailable
from viiwork.store.scripts import Arg, Call, Scripts
from viiwork.store.trip import Command


class Connection:
    """One Redis, one key prefix. `headers=False` suits a server that cannot parse script flags (fakeredis)."""

    def __init__(self, client: Redis, *, prefix: str, headers: bool = True) -> None:
        self.client = client
        self.prefix = prefix
        self.scripts = Scripts(prefix=prefix, headers=headers)

    async def call(self, script: str, *args: Arg) -> Any:
        """Run one script. Raises StoreUnavailable when Redis does not answer or refuses."""
        try:
            return await self.scripts.call(self.client, script, *args)
        except (RedisError, OSError) as error:
            raise unavailable(error) from error

    async def call_many(self, calls: Sequence[Call | Command]) -> list[Any]:
        """Run many scripts, and plain commands among them, in one trip; each answer is a reply or an error.

        Raises StoreUnavailable.
        """
        try:
            replies = await self.scripts.call_many(self.client, calls)
        except (RedisError, OSError) as error:
            raise unavailable(error) from error
        return [unavailable(reply) if isinstance(reply, RedisError) else reply for reply in replies]

    async def read(self, commands: Iterable[tuple[str, ...]]) -> list[Any]:
        """Run plain commands in one round trip. Raises StoreUnavailable."""
        pipeline = self.client.pipeline(transaction=False)
        for command in commands:
            pipeline.execute_command(*command)
        try:
            return list(await pipeline.execute())
        except (RedisError, OSError) as error:
            raise unavailable(error) from error

    async def ping(self) -> None:
        """Raises StoreUnavailable when Redis is gone."""
        await self.read([("PING",)])

    async def close(self) -> None:
        await self.client.aclose()


def unavailable(error: Exception) -> StoreUnavailable:
    """A Redis error in our words; Redis' own never carry a password, but they may carry an address."""
    if isinstance(error, OutOfMemoryError) or "OOM" in str(error):  # a command's own, or a script's
        return StoreUnavailable(
            "Redis is full and takes no new work.",
            hint="Wait until running work ends, or raise redis.max_memory_bytes.",
        )
    if "MISCONF" in str(error):  # a script's error names the command's
        return StoreUnavailable(
            "Redis takes no writes: it cannot write its own file.", hint="Make room on the disk of its data."
        )
    if _of_a_script(error):
        return StoreRefused("Redis refuses what it is asked to keep.", hint="This is a defect of VIIWork: report it.")
    return StoreUnavailable(
        f"Redis does not answer ({type(error).__name__}).", hint="Is the server up? Try `viiwork status`."
    )


def _of_a_script(error: Exception) -> bool:
    """What the server says of itself (BUSY, READONLY, NOREPLICAS, …) is of another class, or begins with its code."""
    code = str(error).partition(" ")[0]
    return type(error) is ResponseError and (code == "ERR" or not code.isupper())
